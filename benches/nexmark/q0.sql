CREATE TABLE discarded (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra VARCHAR) WITH ('connector' = 'blackhole');
INSERT INTO discarded SELECT auction, bidder, price, `dateTime`, extra FROM bid;
