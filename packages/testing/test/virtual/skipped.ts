/**
 * The suites of the project that run on virtual shards as well as on servers, and what of them does not: by name, with the reason.
 *
 * Holds: an entry without a test is a file that is left out. `Skipped.test.ts` finds entries of tests that are gone, and
 * `npm run test:virtual` with `listedVariable` set those that pass meanwhile.
 */

/** Routing, merging, writes and transactions. */
export const suites: ReadonlyArray<string> = [
  "packages/pg/test/Merge*.pg.test.ts",
  "packages/pg/test/Router*.pg.test.ts",
  "packages/pg/test/Transaction*.pg.test.ts",
  "packages/pg/test/Writes*.pg.test.ts",
  "packages/pg/test/merge/*.pg.test.ts"
]

/** Those that every test run has on virtual shards: half a minute. */
export const always: ReadonlyArray<string> = [
  "packages/pg/test/MergeRouter.pg.test.ts",
  "packages/pg/test/RouterExplain.pg.test.ts",
  "packages/pg/test/TransactionAtomic.pg.test.ts"
]

/** Set to `listed`: what is skipped runs, and nothing else. */
export const listedVariable = "SHARDLAYER_TEST_VIRTUAL"

export const isListedRun = process.env[listedVariable] === "listed"

export interface Skipped {
  readonly file: string
  /** With the suites around it, as vitest prints it; undefined: the whole file. */
  readonly test: string | undefined
  readonly reason: string
}

const sessions = "a shard has one session: two transactions, or a transaction and a look at it, do not run side by side"
const proxies = "connections that are cut or stalled in the middle keep the one session of their shard"
const servers = "servers die, are paused, or are set up in their own way"
const common =
  "types, temporary tables and roles of one test are there in the next: all databases of a server, or one session, have them"
const locales = "PGlite has one locale, and neither ICU nor the extensions"

const own = "it brings servers of its own (Oracle), whatever PgCluster is"
const finishing =
  "a PostgreSQL that finishes a statement needs a session of its own, beside the transaction that holds the one there is"
const unexplained = "it overflows the stack: why is not known yet"

const file = (name: string, reason: string): Skipped => ({
  file: `packages/pg/test/${name}.pg.test.ts`,
  test: undefined,
  reason
})

const tests = (name: string, suite: string, reason: string, ...titles: ReadonlyArray<string>): ReadonlyArray<Skipped> =>
  titles.map((title) => ({ file: `packages/pg/test/${name}.pg.test.ts`, test: `${suite} > ${title}`, reason }))

export const skipped: ReadonlyArray<Skipped> = [
  file("RouterDown", servers),
  file("RouterLoad", servers),
  file("RouterPolicy", sessions),
  file("RouterSingleElsewhere", own),
  file("TransactionCrash", servers),
  file("TransactionKilled", servers),
  file("TransactionPlanted", proxies),
  file("TransactionStalled", proxies),
  file("WritesFaults", proxies),
  file("merge/Collations", locales),
  file("merge/Groups", common),
  file("merge/Order", common),
  ...tests(
    "MergeDeepPage",
    "pages far down",
    sessions,
    "show each commit over several shards whole or not at all, also where they were guessed"
  ),
  ...tests(
    "MergeReduced",
    "a gather of many rows",
    sessions,
    "sees one moment of each shard, and gives its connections back"
  ),
  ...tests("MergeStaged", "gathered rows", common, "are joined without tables where none can be made"),
  ...tests(
    "RouterCoordinator",
    "a coordinator that is chosen",
    locales,
    "that is no shard refuses what it may not have as the shards do, and takes enums that are alike"
  ),
  ...tests(
    "RouterCoordinator",
    "a coordinator that is chosen",
    sessions,
    "finishes beside a transaction, whose shard it may be if the pool has a second connection"
  ),
  ...tests(
    "RouterCoordinator",
    "a coordinator that is chosen",
    servers,
    "that is down fails what it should finish, by its name, and nothing else"
  ),
  ...tests(
    "RouterWritingWith",
    "writes in WITH",
    finishing,
    "are read by a SELECT, whose rows are those of all shards or made one answer",
    "have one time on all shards, in the defaults of every part"
  ),
  ...tests(
    "RouterWritingWith",
    "writes in WITH",
    unexplained,
    "fail as a whole, in a transaction too, and give what the operation asks for"
  ),
  ...tests(
    "RouterWrites",
    "writes of several shards",
    finishing,
    "fail as a whole, wherever it fails, and leave no shard changed"
  ),
  ...tests(
    "RouterStart",
    "a router that starts",
    servers,
    "names in one warning all shards whose servers prepare nothing, and starts"
  ),
  ...tests(
    "RouterFedJoin",
    "MERGE from a source of other shards",
    sessions,
    "inserts nothing beside a match that somebody changes meanwhile, and waits for it"
  ),
  ...tests(
    "RouterMoved",
    "an UPDATE of the key of a table with partitions",
    sessions,
    "waits for who changes its rows, and then takes them as they are"
  ),
  ...tests(
    "RouterReport",
    "a report",
    servers,
    "has each kind of finding at once, a line each; the start that asks for none fails with it"
  ),
  ...tests(
    "TransactionAtomic",
    "transactions over several shards",
    sessions,
    "row locks hold on each shard until the end",
    "deadlocks over two and three shards end with the youngest, within two timeouts; retries get all of them through"
  ),
  ...tests(
    "TransactionAtomic",
    "transactions over several shards",
    "ALTER DATABASE … SET holds for sessions that begin later, and the one there is has begun",
    "are refused where a view of several shards would not be one, or a setting would not hold"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    sessions,
    "other installations' and other programs' prepared transactions are left alone",
    "in the background: what a dead router left is ended within seconds, by one of several processes"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    servers,
    "a server without prepared transactions is named before anything is touched; one shard goes on",
    "a server that dies at each step: nothing is half done once it is back"
  ),
  ...tests(
    "TransactionSettings",
    "settings of a transaction over several shards",
    common,
    "are seen as on one PostgreSQL, in random order, on every shard, at every moment",
    "constraints that are deferred, or not, on each shard; checked on all when they are no more",
    "cost a transaction on one shard nothing but themselves, and hold where only reads run",
    "what cannot be given to another shard keeps it out, as before"
  ),
  ...tests(
    "TransactionViews",
    "reads beside commits over several shards",
    sessions,
    "a sum, a stream and a snapshot are never those of half a transfer, and one without views is",
    "a snapshot stands still, cannot write, and gives its connections back",
    "transactions with options: one shard alone, isolation, a limit of time, retries"
  ),
  ...tests(
    "merge/Types",
    "types are compared, grouped and handed on as one PostgreSQL does",
    locales,
    ...[
      "made by users",
      "made of these: arrays and ranges; and some of PostgreSQL's own",
      "of extensions",
      "of extensions away from the search path"
    ]
  )
]

export const reasonOf = (name: string, title: string): string | undefined =>
  skipped.find(({ file: own, test }) => own === name && test === title)?.reason

/** Left out by every run. */
export const excluded: ReadonlyArray<string> = skipped.flatMap(({ file: own, test }) =>
  test === undefined ? [own] : []
)
