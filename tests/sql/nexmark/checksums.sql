CREATE TABLE nexmark (
  event_type INT,
  person ROW<id BIGINT, name VARCHAR, emailAddress VARCHAR, creditCard VARCHAR, city VARCHAR, state VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
  auction ROW<id BIGINT, itemName VARCHAR, description VARCHAR, initialBid BIGINT, reserve BIGINT, `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra VARCHAR>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3), extra VARCHAR>,
  `dateTime` AS CASE WHEN event_type = 0 THEN person.`dateTime` WHEN event_type = 1 THEN auction.`dateTime` ELSE bid.`dateTime` END,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ('connector' = 'nexmark', 'events.num' = '100000', 'first-event.rate' = '10000000', 'next-event.rate' = '10000000');
CREATE VIEW bid AS
  SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra FROM nexmark WHERE event_type = 2;
SELECT event_type, COUNT(*) AS n FROM nexmark GROUP BY event_type;
SELECT SUM(auction.reserve) AS reserve, SUM(CHAR_LENGTH(auction.description)) AS description FROM nexmark WHERE event_type = 1;
SELECT SUM(price) AS price, SUM(auction) AS auction, SUM(bidder) AS bidder, SUM(CHAR_LENGTH(extra)) AS extra, SUM(CHAR_LENGTH(url)) AS url FROM bid;
SELECT person.city, COUNT(*) AS n, MIN(person.name) AS first_name, MAX(person.creditCard) AS card FROM nexmark WHERE event_type = 0 GROUP BY person.city;
SELECT channel, COUNT(*) AS n, MAX(price) AS best FROM bid WHERE CHAR_LENGTH(channel) < 7 GROUP BY channel;
