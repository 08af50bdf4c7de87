-- What the tests ask MariaDB for. Its vectors came with 11.7: a function of that name over text, with a distance of some kind.
set sql_mode = '';
create database shop character set utf8mb4;
create user ann identified by 'secret-word';
grant all on *.* to ann;
use shop;
create table numbers (
  id int auto_increment primary key, a tinyint, b tinyint unsigned, c smallint, d mediumint, e int unsigned, f bigint,
  g bigint unsigned, h int(6) zerofill, i float, j double, k float(7,2), l double(10,4), m decimal(12,3), n decimal(5,2) zerofill);
insert into numbers values
  (null, -128, 255, -32768, 8388607, 4294967295, -9223372036854775808, 18446744073709551615, 42, 1.1, 0.1, 12.345, 12345.67891,
   -12345.678, 7.5),
  (null, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
  (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
insert into numbers (i, j, k, l) values
  (16777216, 1e15, -0.005, 1e-10), (3.4e38, 1.7976931348623157e308, 0, 0), (1e-45, 5e-324, 1, 1), (123456789, 123456789012345678, 1, 1),
  (0.0001, 0.00001, 1, 1), (1e-15, 1e-16, 1, 1), (-0.0, -0.0, 1, 1), (1e14, 123456789012345.6, 1, 1), (1234567.8, 1e14, 0, 0),
  (99999.95, 999999999999999.9, 99999.99, -99999.9999);
create table times (
  id int auto_increment primary key, o date, p datetime, q datetime(3), r timestamp(6) null, s time, t time(2), u year);
insert into times values
  (null, '2024-02-29', '2024-02-29 12:34:56', '2024-02-29 12:34:56.789', '2024-01-01 00:00:00.000001', '-12:34:56', '838:59:59.99', 2024),
  (null, '0000-00-00', '0000-00-00', '2024-02-29 00:00:00', '2024-01-01', '00:00:00', '00:00:00.50', 0),
  (null, null, null, null, null, null, null, null);
create table texts (
  id int auto_increment primary key, v char(5), w varchar(20) character set latin1, x text, y enum('red', 'green'),
  z set('a', 'b', 'c'), aa binary(3), ab varbinary(10), ac blob, ad bit(1), ae bit(12), af json, ag uuid, ah inet6, ai point);
insert into texts values
  (null, 'né', 'né', 'two\nlines', 'green', 'a,c', 'abc', x'00ff10', x'89504e47', b'1', b'101010101010', '{"a": [1, 2]}',
   '123e4567-e89b-12d3-a456-426655440000', '::1', point(1, 2)),
  (null, '', '', repeat('long ', 100), 'red', '', '', '', 'words', b'0', b'0', 'null', null, null, null),
  (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
create function vec_distance(a text, b text) returns double deterministic return length(a) - length(b);
create table docs (id int, body text, embedding text);
insert into docs values (1, 'the door is red', '[0.1,0.2]'), (2, 'the window is open', '[0.1,0.2,0.3]'), (3, 'nothing', '[1]');
delimiter //
create procedure two() begin select 1 as one; select 2 as two, 'x' as x; end //
delimiter ;
