// Our key hashes, canonical texts and slot expressions against a real server, 10,000 random keys a type.
import { describe, expect, layer } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Effect from "effect/Effect"
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import { slotExpression } from "@shardlayer/pg/SlotExpression"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as KeyArbitrary from "../../core/test/topology/KeyArbitrary.js"

const count = 10_000
const slots = 16384

/** As PostgreSQL prints the value, but for the zeros a numeric's scale adds. */
const printed = (type: KeyType.KeyType): string =>
  type === "numeric" ? "trim_scale(k)::text" : type === "bool" ? "left(k::text, 1)" : "k::text"

/** The server's own support function: what a hash-partitioned table would call. */
const supportFunction = (type: KeyType.KeyType) =>
  Effect.gen(function* () {
    const cluster = yield* PgCluster.PgCluster
    const rows = yield* cluster.query<{ readonly name: string }>(
      "shard_1",
      `select p.amproc::text as name from pg_opclass c join pg_am m on m.oid = c.opcmethod
       join pg_amproc p on p.amprocfamily = c.opcfamily and p.amprocnum = 2
       where m.amname = 'hash' and c.opcdefault and c.opcintype = $1::regtype
         and p.amproclefttype = c.opcintype and p.amprocrighttype = c.opcintype`,
      [type === "varchar" ? "text" : type]
    )
    expect(rows).toHaveLength(1)
    return rows[0]?.name ?? ""
  })

interface Row {
  readonly printed: string
  readonly hash: string
  readonly slot: number
  readonly fits: boolean
}

const ours = (type: KeyType.KeyType, key: string | undefined, slot: number | undefined): Row => ({
  printed: key ?? "",
  hash: BigInt.asIntN(64, KeyHash.part(type, key ?? "")).toString(),
  slot: slot ?? -1,
  fits: true
})

layer(PgCluster.layer({ shards: 1, mode: "databases" }), { excludeTestServices: true })("KeyHash", (it) => {
  describe.each(KeyType.all)("%s", (type) => {
    it.effect("reads, prints, hashes and places every key as the server does", () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.PgCluster
        const seed = Math.floor(Math.random() * 2 ** 31)
        const texts = KeyArbitrary.sample(type, count, seed)
        const keys = texts.map(
          (text) =>
            Either.getOrThrowWith(
              KeyValue.canonical(type, text),
              (reason) => new Error(`${JSON.stringify(text)} (seed ${seed}): ${reason}`)
            ) ?? ""
        )
        const places = keys.map((key) => KeyHash.slot([type], [key], slots))
        const hash = yield* supportFunction(type)
        yield* cluster.query("shard_1", `create table keys_${type} (k ${type}) partition by hash (k)`)
        const rows = yield* cluster.query<Row>(
          "shard_1",
          `select ${printed(type)} as printed, ${hash}(k, ${KeyHash.seed})::text as hash,
                  ${slotExpression([type], ["k"], slots)} as slot,
                  satisfies_hash_partition('keys_${type}'::regclass, ${slots}, place, k) as fits
           from unnest($1::text[], $2::int[]) with ordinality as input(text, place, n),
                lateral (select input.text::${type} as k) as key order by n`,
          [texts, places]
        )
        const wrong = rows.findIndex(
          (row, index) => JSON.stringify(row) !== JSON.stringify(ours(type, keys[index], places[index]))
        )
        expect(rows).toHaveLength(count)
        expect(rows[wrong], `sample ${wrong} of seed ${seed}`).toEqual(
          wrong < 0 ? undefined : ours(type, keys[wrong], places[wrong])
        )
      })
    )
  })
})
