/**
 * The numbered catalog of refusals: what the router does not answer, why, and the way forward.
 *
 * Enters: a code, the words for its gaps, the place. Leaves: `UnsupportedQuery`. `docs/refusals.md` is generated from
 * this table, and the corpus in `test/planner/refusals` holds its examples. A code keeps its meaning for good.
 *
 * @since 0.1.0
 */
import { UnsupportedQuery } from "@shardlayer/core/ShardError"
import { toOffset } from "./Parser.js"

/** @since 0.1.0 @category models */
export interface Entry {
  readonly title: string
  /** Gaps stand in braces. */
  readonly reason: string
  readonly hint: string
  readonly example: string
}

const pin = "Run it on one shard with ShardRouter.onShard, or on each with ShardRouter.onAllShards"
const transaction = "Use sql.withTransaction: nested calls are savepoints"
const narrow =
  "Limit every sharded table to one key with equality on its key columns (a constant, a parameter, or a join on the key)"
const acknowledge =
  "Name it in the table's `acknowledge` if the program can do without it, or run the statement with ShardRouter.onShard"

/** @since 0.1.0 @category constants */
export const entries = {
  SL1001: {
    title: "Several statements in one text",
    reason: "the text holds {count} statements",
    hint: "Send them one by one (in sql.withTransaction to keep them together), or run the text with ShardRouter.onShard",
    example: "select 1; select 2"
  },
  SL1010: {
    title: "Schema changes",
    reason: "{statement} is not made on all shards at once",
    hint: "Run it on every shard with ShardRouter.onAllShards",
    example: "create foreign table far (id bigint) server other"
  },
  SL1011: {
    title: "Transaction commands as text",
    reason: "{statement} as text would reach some connection, not the transaction of this fiber",
    hint: transaction,
    example: "begin"
  },
  SL1012: {
    title: "Session settings",
    reason: "{statement} belongs to one session, and statements travel over many",
    hint: "Give settings to PgShard.layer, use SET LOCAL in a transaction, or run it with ShardRouter.onShard",
    example: "set statement_timeout = 1000"
  },
  SL1013: {
    title: "Prepared statements as text",
    reason: "{statement} lives in one session, and statements travel over many",
    hint: "Send the statement itself with parameters; connections prepare statements of their own",
    example: "prepare q as select 1"
  },
  SL1014: {
    title: "Cursors as text",
    reason: "{statement} lives in one session, and statements travel over many",
    hint: "Use the statement's .stream, which reads through a cursor",
    example: "declare c cursor for select * from users"
  },
  SL1015: {
    title: "LISTEN, NOTIFY and UNLISTEN as text",
    reason: "{statement} reaches the listeners of one database only",
    hint: "Use listen and notify of the PgClient, which go to the meta database",
    example: "listen jobs"
  },
  SL1016: {
    title: "LOCK TABLE",
    reason: "LOCK TABLE would lock one shard's part of a table",
    hint: pin,
    example: "lock table users in exclusive mode"
  },
  SL1017: {
    title: "COPY",
    reason: "COPY speaks to one server",
    hint: "Use router.copyFrom and router.copyTo, which split and join its rows. " + pin,
    example: "copy users to stdout"
  },
  SL1018: {
    title: "EXPLAIN",
    reason: "EXPLAIN would describe one shard's part of the work",
    hint: "Use ShardRouter.explain for the plan, or run it with ShardRouter.onShard for one shard's own",
    example: "explain select * from users"
  },
  SL1019: {
    title: "Maintenance",
    reason: "{statement} is maintenance of one server",
    hint: pin,
    example: "checkpoint"
  },
  SL1022: {
    title: "CALL and DO",
    reason: "{statement} runs code that the router cannot look into",
    hint: pin,
    example: "do $$ begin end $$"
  },
  SL1023: {
    title: "SELECT INTO, CREATE TABLE AS and temporary tables",
    reason: "{statement} makes a table on one shard",
    hint: pin,
    example: "select * into copied from users"
  },
  SL1024: {
    title: "Two-phase commit as text",
    reason: "{statement} is how the router itself commits",
    hint: transaction,
    example: "commit prepared 'x'"
  },
  SL1025: {
    title: "Statements that run outside of transactions",
    reason: "{statement} {why}, and could not be completed if it failed on one of the shards",
    hint: "Send it by itself, and give the index a name",
    example: "alter table users add column x int; create index concurrently users_x on users (x)"
  },
  SL1099: {
    title: "Statements of another kind",
    reason: "{statement} is not analyzed",
    hint: pin,
    example: "create database other"
  },
  SL1101: {
    title: "Syntax the analysis does not know",
    reason: "the analysis does not know {construct}",
    hint: "Write it in another way, or run the statement with ShardRouter.onShard",
    example: "select * from users natural join generate_series(1, 2)"
  },
  SL1102: {
    title: "Statements too large to analyze",
    reason: "the statement is too large to analyze ({limit})",
    hint: "Split it",
    example: ""
  },
  SL1103: {
    title: "Syntax that cannot be written anew",
    reason: "the shards' part of the statement cannot be written down without loss",
    hint: "Write it in another way, or limit it to one shard",
    example: ""
  },
  SL2001: {
    title: "Tables the topology does not list",
    reason: "table {table} is not in the topology",
    hint: "Add it to the topology's tables, or say with `unlisted` where such tables live",
    example: "select * from audit_log"
  },
  SL2002: {
    title: "Relations that do not exist",
    reason: "relation {table} does not exist on the shards",
    hint: "Create it on every shard with ShardRouter.onAllShards",
    example: "select * from nowhere"
  },
  SL2003: {
    title: "Views in place of tables",
    reason: "{table} is a view, and rows are written through views over tables of one shard alone",
    hint: "Write to the table under the view",
    example: "delete from active_users where id = 1"
  },
  SL2004: {
    title: "Relations that are no tables",
    reason: "{table} is a {kind}",
    hint: pin,
    example: "select * from journal_id_seq"
  },
  SL2005: {
    title: "Inheritance and partitions",
    reason: "{table} is {tree}",
    hint: "Name the partitioned table in place of its partition, or place all tables of the tree on one shard. " + pin,
    example: "select * from events_2020"
  },
  SL2006: {
    title: "System columns",
    reason: "system column {column} means something else on each shard",
    hint: "Use a column of your own",
    example: "select ctid from users"
  },
  SL2007: {
    title: "System catalogs",
    reason: "{table} describes one server",
    hint: "Say with the topology's `unlisted` which shard answers, or use ShardRouter.onShard",
    example: "select * from pg_catalog.pg_class"
  },
  SL2008: {
    title: "Single tables of different shards in one statement",
    reason: "{tables} live on different shards",
    hint: "Query them one after another, or place them on the same shard",
    example: "select * from settings, journal"
  },
  SL2009: {
    title: "Row security",
    reason: "table {table} has row security, and {why}",
    hint: acknowledge,
    example: "select * from secrets"
  },
  SL2010: {
    title: "Columns that cannot be resolved",
    reason: "{column} {problem}",
    hint: "Qualify the column, or check its name",
    example: "select nickname from users"
  },
  SL2012: {
    title: "TABLESAMPLE",
    reason: "a sample of {table} depends on how its rows are laid out",
    hint: "Leave out REPEATABLE: then each shard draws from its own rows. " + pin,
    example: "select * from users tablesample system (10) repeatable (1)"
  },
  SL2014: {
    title: "Names with a database",
    reason: "{table} names a database",
    hint: "Leave the database out",
    example: "select * from postgres.public.users"
  },
  SL2015: {
    title: "Tables whose shard did not answer",
    reason: "the schema of {table} is not known: shard {shard} did not answer when the catalog was read",
    hint: "Try again when the shard is back",
    example: ""
  },
  SL3001: {
    title: "INSERT without the key",
    reason: "the row does not give {table}'s key column {column}, whose default is computed on the server",
    hint: "Give the key in the statement, or name a generator for it in the topology (`generate: { id: Id.snowflake() }`)",
    example: "insert into tickets (title) values ('x')"
  },
  SL3003: {
    title: "ON CONFLICT or MERGE that changes the key",
    reason: "a row of {table} would get another value for its key column {column}",
    hint: "Assign the key from the row itself or from excluded, or leave it out",
    example: "insert into orders (user_id, id) values (1, 2) on conflict (user_id, id) do update set user_id = 3"
  },
  SL3005: {
    title: "Rows without a generated column",
    reason: "{what} leaves column {column} of {table} to its generator, which fills in the rows of an INSERT only",
    hint: "Write INSERT as a statement of its own, or give the values: ShardRouter.nextId and nextIds draw them",
    example: ""
  },
  SL4010: {
    title: "Row locks on several shards",
    reason: "row locks would be taken on several shards",
    hint: narrow,
    example: "select * from users for update"
  },
  SL4011: {
    title: "Functions that differ from shard to shard",
    reason: "{function} can give another value on each shard",
    hint: "Compute it in the program and pass it as a parameter",
    example: "select id, random() from users"
  },
  SL4012: {
    title: "A single table beside sharded ones",
    reason: "single table {table} lives on one shard, and rows of others are needed",
    hint: narrow,
    example: "update users set name = (select max(value) from settings)"
  },
  SL4015: {
    title: "Moving dates as text",
    reason: "{literal} means another moment on each shard if it is read as a date or time",
    hint: "Pass the date as a parameter",
    example: "select * from users where created_at < 'now'"
  },
  SL4017: {
    title: "Output columns that cannot be told apart",
    reason: "{what} cannot be taken apart into what each shard gives",
    hint: "Write out the columns",
    example: "select t, row_number() over (order by name) from users t"
  },
  SL4018: {
    title: "Types that cannot be shipped",
    reason: "{what} has a type that cannot be written down",
    hint: "Cast it to a type of its own",
    example: ""
  },
  SL4019: {
    title: "Merging over stock clients",
    reason: "a shard is a stock client, whose columns and rows cannot be merged",
    hint: "Make the shard with PgShard.layer, or limit the statement to one shard",
    example: ""
  },
  SL4020: {
    title: "Texts whose collation is not known",
    reason: "the statement compares texts of several collations, and it is not known which one applies",
    hint: "Say COLLATE where it is ordered or grouped",
    example: ""
  },
  SL4021: {
    title: "Subqueries beside aggregates",
    reason: "a subquery or column stands beside aggregates over several shards",
    hint: "Compute it in a statement of its own",
    example: "select count(*), (select max(row_to_json(c)::text) from countries c) from users"
  },
  SL4022: {
    title: "Correlated subqueries that take some rows, no matter which",
    reason: "a correlated subquery over rows of several shards has {clause} without ORDER BY",
    hint: "Say ORDER BY, so that it is determined which rows it takes for each row around it",
    example: "select * from users u where u.age > (select o.id from orders o where o.id <> u.id limit 1)"
  },
  SL4023: {
    title: "Finishing on a coordinator that is no shard",
    reason:
      "the rest of the statement runs on {coordinator}, which is no shard, and {what} is not known to be the same there",
    hint: "Make one of the shards the coordinator, or leave the choice out; of types, enums with the same labels will do",
    example: ""
  },
  SL5001: {
    title: "User functions",
    reason: "function {function} is not PostgreSQL's own, and what it reads or writes is not known",
    hint: "List it in the topology's `pureFunctions` if it reads and writes nothing, or use ShardRouter.onShard",
    example: "select slugify(name) from users where id = 1"
  },
  SL5002: {
    title: "Functions that read or change hidden state",
    reason: "function {function} reads or changes the state of one session or server",
    hint: pin + ". In place of nextval, name a generator in the topology (`generate: { id: Id.sequence() }`)",
    example: "select pg_backend_pid()"
  },
  SL5003: {
    title: "Functions that do not exist",
    reason: "function {function} does not exist on the shards",
    hint: "Create it on every shard with ShardRouter.onAllShards, and list it in the topology's `pureFunctions` if it is pure",
    example: "select nonsense(1)"
  },
  SL5004: {
    title: "User operators",
    reason: "operator {operator} is not PostgreSQL's own, and what it reads is not known",
    hint: "List its function in the topology's `pureFunctions` if it reads and writes nothing, or use ShardRouter.onShard",
    example: "select name <~> 'x' from users where id = 1"
  },
  SL5005: {
    title: "User types with code",
    reason: "type {type} calls function {function}, and what it reads is not known",
    hint: "List the function in the topology's `pureFunctions` if it reads and writes nothing",
    example: "select 'x'::slug"
  },
  SL5006: {
    title: "Types that do not exist",
    reason: "type {type} does not exist on the shards",
    hint: "Create it on every shard with ShardRouter.onAllShards",
    example: "select 'x'::nonsense"
  },
  SL5007: {
    title: "Names of database objects as values",
    reason: "{construct} looks a name up in one shard's catalog",
    hint: "Write the name as a constant, or use ShardRouter.onShard",
    example: "select to_regclass(name) from users where id = 1"
  },
  SL6001: {
    title: "Writes on several shards",
    reason: "the write to {table} is not limited to one shard, and {why}",
    hint: narrow,
    example: "update users set name = (select max(o.status) from orders o)"
  },
  SL6002: {
    title: "Writes that would make the copies of a reference table differ",
    reason: "{table} is a reference table, and {what} would make its copies differ",
    hint: "Compute the values first, and give them as parameters",
    example: "update countries set name = gen_random_uuid()::text"
  },
  SL6003: {
    title: "Triggers",
    reason: "trigger {trigger} of {table} runs code that the router cannot look into",
    hint: acknowledge,
    example: "insert into audited (user_id) values (1)"
  },
  SL6004: {
    title: "Rules",
    reason: "rule {rule} of {table} rewrites the statement on the server",
    hint: acknowledge,
    example: "insert into ruled (user_id) values (1)"
  },
  SL6005: {
    title: "Foreign keys that shards cannot keep",
    reason: "foreign key {constraint} of {table} references {other}, whose rows may live on other shards",
    hint: "Make the shard key part of the foreign key. " + acknowledge,
    example: "insert into comments (user_id, id, author) values (1, 1, 2)"
  },
  SL6006: {
    title: "Unique constraints that shards cannot keep",
    reason: "{constraint} of {table} leaves out the shard key, so each shard would keep it for its own rows only",
    hint: "Add the shard key to it. " + acknowledge,
    example: "insert into accounts (user_id, email) values (1, 'x')"
  },
  SL6007: {
    title: "Numbers from a sequence",
    reason: "column {column} of {table} takes its number from a sequence, and each shard has its own",
    hint:
      "Name a generator for it in the topology (`generate: { id: Id.sequence() }`), or give the value in the statement. " +
      acknowledge,
    example: "insert into numbered (user_id) values (1)"
  },
  SL6008: {
    title: "ON CONFLICT without the key",
    reason: "ON CONFLICT on {table} has no arbiter that includes the shard key",
    hint: "Name a unique constraint that includes the shard key",
    example: "insert into users (id, name) values (1, 'x') on conflict (name) do nothing"
  },
  SL6009: {
    title: "Row locks on reference tables",
    reason: "the lock would cover one copy of reference table {table}",
    hint: "Say FOR UPDATE OF with the sharded tables",
    example: "select * from users u join countries c on c.code = u.country where u.id = 1 for update"
  },
  SL6010: {
    title: "Hidden functions of a table",
    reason: "{object} of {table} calls function {function}, and what it reads or writes is not known",
    hint: "List the function in the topology's `pureFunctions`. " + acknowledge,
    example: "insert into checked (user_id) values (1)"
  },
  SL6011: {
    title: "Deletes and updates that reach other tables",
    reason: "foreign key {constraint} of {other} references {table}, and its rows may live on other shards",
    hint: "Make the shard key part of the foreign key. " + acknowledge,
    example: "delete from authors where user_id = 1"
  },
  SL6012: {
    title: "Values that each shard would compute for the rows it has",
    reason: "{what} of {table} comes from {why}, which gives another value on each shard",
    hint: "Add the column without it, set it with UPDATE, then say ALTER COLUMN … SET DEFAULT",
    example: "alter table users add column seen_at timestamptz default now()"
  },
  SL6013: {
    title: "Rows that would get another shard key",
    reason: "the UPDATE gives rows of {table} another shard key, and {why}",
    hint:
      "Limit it to keys of one shard by constants, or in one transaction insert the rows under their new key, and delete " +
      "them under the old one",
    example: "update users set id = id + 1"
  },
  SL6014: {
    title: "Parts of one statement that would see each other",
    reason: "the parts of the statement would run one after another on several shards, and {why}",
    hint: "Send its parts one by one in sql.withTransaction, in the order that is meant",
    example: "with gone as (delete from orders where status = 'x' returning id) select count(*) from orders, gone"
  },
  SL7001: {
    title: "Pinned writes to reference tables",
    reason: "{table} is a reference table: a write on one shard would make its copies differ",
    hint: "Say ShardRouter.unchecked, and write the same on every shard (ShardRouter.onAllShards)",
    example: "insert into countries (code, name) values ('xx', 'x')"
  },
  SL7002: {
    title: "Pinned writes whose keys cannot be read",
    reason: "{statement} into {table} can put rows where the router would not look for them",
    hint: "Give the keys as constants or parameters, or say ShardRouter.unchecked",
    example: "copy users from stdin"
  },
  SL7003: {
    title: "Pinned statements that cannot be looked into",
    reason: "{statement} cannot be looked into",
    hint: "Say ShardRouter.unchecked",
    example: "execute q"
  },
  SL7004: {
    title: "Pinned writes to tables that live elsewhere",
    reason: "{table} lives on shard {shard}",
    hint: "Pin the statement to that shard, or leave out onShard",
    example: "insert into settings (name) values ('x')"
  },
  SL7005: {
    title: "Pinned rows whose key is generated",
    reason: "the key column {column} of {table} is generated, so that the row may belong to any shard",
    hint: "Leave out onShard, or give the key: ShardRouter.nextId draws it",
    example: ""
  }
} as const satisfies { readonly [code: string]: Entry }

/** @since 0.1.0 @category models */
export type Code = keyof typeof entries

/** The words for the gaps of a text, as its type. */
type Gaps<Text extends string> = Text extends `${string}{${infer Gap}}${infer Rest}` ? Gap | Gaps<Rest> : never

/** @since 0.1.0 @category models */
export type Words<C extends Code> = { readonly [Gap in Gaps<(typeof entries)[C]["reason"]>]: string }

/**
 * A refusal before it knows its text: what the analysis carries around.
 *
 * @since 0.1.0
 * @category models
 */
export interface Draft {
  readonly code: Code
  readonly reason: string
  readonly hint: string
  /** UTF-8 bytes from the start, as nodes carry it. */
  readonly location: number | undefined
}

/** @since 0.1.0 @category constructors */
export const draft = <C extends Code>(code: C, words: Words<C>, location: number | undefined): Draft => ({
  code,
  reason: fill(entries[code].reason, words),
  hint: entries[code].hint,
  location
})

/** @since 0.1.0 @category constructors */
export const toError = (refusal: Draft, sql: string): UnsupportedQuery =>
  new UnsupportedQuery({
    code: refusal.code,
    reason: refusal.reason,
    hint: refusal.hint,
    offset: refusal.location === undefined ? undefined : toOffset(sql, refusal.location),
    sql
  })

const fill = (text: string, words: { readonly [gap: string]: string }): string =>
  text.replace(/\{(\w+)\}/g, (gap, name: string) => words[name] ?? gap)
