CREATE TABLE discarded (auction BIGINT, price BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO discarded SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
