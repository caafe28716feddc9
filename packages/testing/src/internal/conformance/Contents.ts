/**
 * What tables hold, on the oracle and on the shards together.
 *
 * Holds: tables are compared by the number of their rows and the sum of the rows' hashes, which adds up over shards;
 * nothing of them is brought here.
 */
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { escapeIdentifier, escapeLiteral } from "pg"
import type { Answer } from "./Answer.js"
import * as Placement from "./Placement.js"
import type * as Session from "./Session.js"

export const plainTables = (session: Session.Session): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(
    session.run(
      "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by relname"
    ),
    (rows) => rows.map(([name]) => name ?? "")
  )

/** Count, and the sum of the rows' hashes, which adds up over shards. */
const fingerprint = (session: Session.Session, tables: ReadonlyArray<string>) =>
  Effect.map(
    session.run(
      tables.length === 0
        ? ""
        : tables
            .map(
              (name, index) =>
                `select ${index}, count(*), coalesce(sum(hashtextextended(case_row::text, 0)::numeric), 0)
             from only ${escapeIdentifier(name)} as case_row`
            )
            .join(" union all ")
    ),
    (rows) =>
      new Map(
        rows.map(([index, count, sum]) => [
          tables[Number(index)] ?? "",
          { count: BigInt(count ?? 0), sum: BigInt(sum ?? 0) }
        ])
      )
  )

/** The tables that the shards hold other rows of than the oracle does: a line each. */
export const drift = (
  topology: Topology,
  oracle: Session.Session,
  shards: ReadonlyMap<string, Session.Session>,
  given: { readonly tables: ReadonlyArray<string> | undefined; readonly compare: "rows" | "counts" }
): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const tables = (yield* plainTables(oracle)).filter((name) => given.tables?.includes(name) ?? true)
    if (tables.length === 0) return []
    const expected = yield* fingerprint(oracle, tables)
    const found: Array<string> = []
    const prints = new Map<string, ReadonlyMap<string, { readonly count: bigint; readonly sum: bigint }>>()
    for (const [id, session] of shards) {
      const there = new Set(yield* plainTables(session))
      prints.set(
        id,
        yield* fingerprint(
          session,
          tables.filter((name) => there.has(name))
        )
      )
    }
    for (const table of tables) {
      const whole = expected.get(table)
      const holders = Placement.holders(topology, table)
      const parts = holders.shards.map((id) => prints.get(id)?.get(table))
      const add = (of: "count" | "sum") => parts.reduce((total, part) => total + (part?.[of] ?? 0n), 0n)
      const equal = (of: "count" | "sum") =>
        holders.copies ? parts.every((part) => part?.[of] === whole?.[of]) : add(of) === whole?.[of]
      const same = equal("count") && (given.compare === "counts" || equal("sum"))
      const counts = parts.map((part) => String(part?.count ?? "none")).join(" + ")
      if (!same)
        found.push(`table ${table} holds ${counts} rows, the oracle ${whole?.count}: they are not the same rows`)
    }
    return found
  })

/**
 * The oracle's answer once all rows lie in another order, which is taken back: what differs then, SQL leaves open.
 */
export const shuffled = (
  oracle: Session.Session,
  sql: string,
  seed: number,
  params: ReadonlyArray<unknown> = []
): Effect.Effect<Answer> =>
  Effect.gen(function* () {
    yield* oracle.run("begin; set local session_replication_role = replica")
    for (const name of yield* plainTables(oracle)) {
      const table = escapeIdentifier(name)
      const columns = yield* oracle.run(
        `select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
         where attrelid = ${escapeLiteral(table)}::regclass and attnum > 0 and not attisdropped and attgenerated = ''`
      )
      const list = columns[0]?.[0]
      if (list === undefined || list === null) continue
      yield* oracle.run(
        `create temp table case_shuffled as select * from only ${table} order by md5(ctid::text || ${seed}); delete from only ${table};
         insert into ${table} (${list}) overriding system value select ${list} from case_shuffled; drop table case_shuffled`
      )
    }
    const answer = yield* oracle.ask(sql, params)
    yield* oracle.run("rollback")
    return answer
  })
