/**
 * Leases of node numbers and blocks of sequences in `shardlayer.id_node` and `shardlayer.id_sequence` of the meta database.
 *
 * Holds: what was answered is on disk (`synchronous_commit`), so that no restart gives it out again; after a failover
 * that is so with a synchronous standby only. Waits for other processes for `lockTimeoutMillis` at most.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { IdStore, type IdStoreService, type Lease, type LeaseRequest, unleasable } from "@shardlayer/core/IdStore"
import * as IdLease from "@shardlayer/core/protocol/IdLease"
import type { ShardError } from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MetaClient from "./internal/metaClient.js"
import * as PgInstall from "./PgInstall.js"

/** @since 0.1.0 @category constructors */
export const make = (client: SqlClient): IdStoreService => {
  const meta = MetaClient.make(client)
  const orNotInstalled = PgInstall.orNotInstalled(client)
  /** Under repeatable read, which a database may have as its default, a wait for a lock ends in an error. */
  const durably = <A>(body: (query: MetaClient.MetaClient["query"]) => Effect.Effect<A, ShardError>) =>
    meta.transaction((query) =>
      Effect.zipRight(
        Effect.forEach(settings, (sql) => query(sql)),
        body(query)
      )
    )
  return {
    lease: (request) =>
      orNotInstalled(
        durably((query) =>
          Effect.flatMap(renewed(query, request), (lease) =>
            lease === undefined ? taken(query, request) : Effect.succeed(lease)
          )
        )
      ),
    release: ({ family, holder, node, untilMillis }) =>
      orNotInstalled(Effect.asVoid(meta.query(releaseSql, [family, node, holder, untilMillis]))),
    allocate: (name, start, count) =>
      meta.query<{ first: string }>(allocateSql, [name, start, count]).pipe(
        // Where repeatable read is the default, who comes second is told so by an error.
        Effect.retry({ while: lostRace, times: racesMax }),
        orNotInstalled,
        Effect.map(([row]) => {
          if (row === undefined) throw new Error("a sequence gave no block")
          return row.first
        })
      )
  }
}

/**
 * Over the `SqlClient` of the meta database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<IdStore, never, SqlClient> = Layer.effect(IdStore, Effect.map(SqlClient, make))

const lockTimeoutMillis = 3_000

const settings = [
  "set transaction isolation level read committed, read write",
  `set local lock_timeout = '${lockTimeoutMillis}ms'`,
  "set local synchronous_commit = on"
]

const nowMillis = "floor(extract(epoch from clock_timestamp()) * 1000)"

type Query = MetaClient.MetaClient["query"]

const renewed = (query: Query, { family, holder, leaseMillis, node }: LeaseRequest) =>
  node === undefined
    ? Effect.succeed(undefined)
    : Effect.map(query<Lease>(renewSql, [family, node, holder, leaseMillis]), ([lease]) => lease)

/** One process after the other, so that each sees what the one before it took. */
const taken = (query: Query, request: LeaseRequest): Effect.Effect<Lease, ShardError> =>
  Effect.gen(function* () {
    const { family, holder, leaseMillis, nodes } = request
    yield* query("select pg_advisory_xact_lock($1::bigint)", [takeLock])
    const rows = yield* query<IdLease.Row>(rowsSql, [family])
    const [clock] = yield* query<{ now: number }>(`select ${nowMillis}::float8 as now`)
    const choice = IdLease.choose(rows, nodes, clock?.now ?? 0)
    if (choice._tag !== "Take") return yield* unleasable(request, choice)
    const [lease] = yield* query<Lease>(takeSql, [family, choice.node, holder, leaseMillis, choice.fromMillis])
    // Its holder has come back meanwhile, and the number is its own again.
    return lease ?? (yield* taken(query, request))
  })

/** Any number: "ids" in ASCII, the same in every process. */
const takeLock = "6906995"

const renewSql = `update shardlayer.id_node
set expires_at = clock_timestamp() + make_interval(secs => $4::float8 / 1000),
    until_millis = greatest(until_millis, ${nowMillis}::bigint + $4::bigint)
where family = $1 and node = $2::integer and holder = $3
returning node, until_millis::float8 as "fromMillis", until_millis::float8 as "untilMillis",
  ${nowMillis}::float8 as "nowMillis"`

const rowsSql = `select node, ceil(extract(epoch from expires_at) * 1000)::float8 as "expiresMillis",
  until_millis::float8 as "untilMillis"
from shardlayer.id_node where family = $1`

const takeSql = `insert into shardlayer.id_node as n (family, node, holder, expires_at, until_millis)
values ($1, $2::integer, $3, clock_timestamp() + make_interval(secs => $4::float8 / 1000), $5::bigint + $4::bigint)
on conflict (family, node) do update
  set holder = excluded.holder, expires_at = excluded.expires_at, until_millis = excluded.until_millis
  where n.expires_at <= clock_timestamp() and n.until_millis <= $5::bigint
returning node, $5::float8 as "fromMillis", until_millis::float8 as "untilMillis", ${nowMillis}::float8 as "nowMillis"`

const releaseSql = `update shardlayer.id_node
set holder = '', expires_at = clock_timestamp(), until_millis = least(until_millis, $4::bigint)
where family = $1 and node = $2::integer and holder = $3`

/**
 * One statement, so that nobody waits for its row while it travels. Its settings are in force when it commits, which is
 * after it; they are those of the transactions above.
 */
const allocateSql = `with settings as materialized (
  select set_config('synchronous_commit', 'on', true), set_config('lock_timeout', '${lockTimeoutMillis}ms', true)
)
insert into shardlayer.id_sequence as s (name, next) select $1, $2::bigint + $3::bigint from settings
on conflict (name) do update set next = s.next + $3::bigint
returning (next - $3::bigint)::text as first`

const racesMax = 20

const lostRace = (error: ShardError): boolean =>
  error._tag === "StatementFailed" && error.kind === "SerializationFailure"
