// A topology is right, or every mistake in it is named.
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import type { KeyInput } from "@shardlayer/core/topology/KeyType"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { describe, expect, expectTypeOf, it } from "vitest"

const topology = Topology.make({
  shards: ["shard_1", "shard_2"],
  epoch: 7,
  slots: 1024,
  slotMap: [
    { from: 0, to: 1000, shard: "shard_2" },
    { from: 1000, to: 1024, shard: "shard_1" }
  ],
  meta: "shard_2",
  unlisted: "shard_1",
  pureFunctions: ["slugify", "tools.*"],
  keyspaces: {
    user: Keyspace.hash({ key: ["int8"], pins: [{ key: 42, shard: "shard_2" }] }),
    device: Keyspace.hash({ key: ["uuid", { type: "text", collation: { name: "C", deterministic: true } }] }),
    year: Keyspace.range({ key: ["date"], bounds: [{ from: "2024-01-01", shard: "shard_1" }] }),
    country: Keyspace.list({ key: ["text"], entries: [{ keys: ["se"], shard: "shard_1" }], otherwise: "shard_2" }),
    file: Keyspace.list({ key: ["bytea"], entries: [{ keys: [new Uint8Array([1])], shard: "shard_1" }] }),
    customer: Keyspace.lookup({ key: ["uuid"], directory: "customer_shard" }),
    moon: Keyspace.custom({ key: ["timestamptz"], name: "byMoon", pins: [{ key: new Date(0), shard: "shard_1" }] })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    orders: Table.sharded({ key: ["user_id"], keyspace: "user", acknowledge: ["orders_country_fkey"] }),
    small: Table.sharded({ key: { user_id: "int4" }, keyspace: "user" }),
    readings: Table.sharded({ key: ["device", { column: "channel", type: "varchar" }], keyspace: "device" }),
    notes: Table.sharded({ key: { device: "uuid", channel: "text" }, keyspace: "device" }),
    countries: Table.reference(),
    "audit.log": Table.single("shard_1"),
    '"odd.schema"."a ""table"""': Table.reference()
  }
})

describe("make", () => {
  it("keeps what it was given and fills in the rest", () => {
    expect(topology.epoch).toBe(7)
    expect(topology.meta).toBe("shard_2")
    expect(topology.unlisted).toBe("shard_1")
    expect(SlotMap.owner(topology.slotMap, 999)).toBe("shard_2")
    expect(topology.tables.small).toEqual({
      _tag: "Sharded",
      id: "small",
      schema: "public",
      name: "small",
      columns: ["user_id"],
      types: ["int4"],
      keyspace: "user",
      acknowledge: []
    })
    expect(topology.tables.readings.types).toEqual(["uuid", "varchar"])
    expect(topology.keyspaces.user.pins).toEqual([{ key: ["42"], shard: "shard_2" }])
    expect(topology.keyspaces.moon.pins).toEqual([{ key: ["1970-01-01 00:00:00+00"], shard: "shard_1" }])

    const small = Topology.make({ shards: ["a"] })
    expect(small).toMatchObject({ epoch: 1, shards: ["a"], meta: "a", unlisted: undefined, keyspaces: {}, tables: {} })
    expect(small.slotMap.slots).toBe(16384)
  })

  it("finds tables by schema and name, letter for letter", () => {
    expect(Topology.table(topology, "audit", "log")).toEqual(Option.some(topology.tables["audit.log"]))
    expect(Topology.table(topology, "public", "users")).toEqual(Option.some(topology.tables.users))
    expect(Option.isSome(Topology.table(topology, "odd.schema", 'a "table"'))).toBe(true)
    for (const [schema, name] of [
      ["public", "Users"],
      ["audit", "users"],
      ["public", "audit.log"],
      ["__proto__", "x"]
    ] as const) {
      expect(Topology.table(topology, schema, name)).toEqual(Option.none())
    }
    expect(Topology.keyspace(topology, topology.tables.orders)).toEqual(Option.some(topology.keyspaces.user))
    expect(Topology.keyspace(topology, "constructor")).toEqual(Option.none())
  })

  it("knows which functions are pure", () => {
    expect(Topology.isPureFunction(topology, "public", "slugify")).toBe(true)
    expect(Topology.isPureFunction(topology, "tools", "anything")).toBe(true)
    expect(Topology.isPureFunction(topology, "public", "other")).toBe(false)
  })

  it("decodes keys by the table's own types", () => {
    expect(Table.decodeKey(topology.tables.users, 2n ** 40n)).toEqual(Either.right(["1099511627776"]))
    expect(Topology.decodeKey(topology.tables.small, 2 ** 40)).toEqual(
      Either.left('"1099511627776" is out of range for int4')
    )
    expect(Topology.decodeKey(topology.keyspaces.user, "7")).toEqual(Either.right(["7"]))
  })
})

describe("literal types", () => {
  it("are kept, so that a key is checked by the compiler", () => {
    expectTypeOf(topology.tables.users).toEqualTypeOf<Table.Sharded<"users", readonly ["int8"]>>()
    expectTypeOf(topology.tables.small).toEqualTypeOf<Table.Sharded<"small", readonly ["int4"]>>()
    expectTypeOf(topology.tables.readings.types).toEqualTypeOf<readonly ["uuid", "varchar"]>()
    expectTypeOf(topology.tables.notes.types).toEqualTypeOf<readonly ["uuid", "text"]>()
    expectTypeOf(topology.tables.countries).toEqualTypeOf<Table.Reference<"countries">>()
    expectTypeOf(topology.tables["audit.log"]).toEqualTypeOf<Table.Single<"audit.log">>()
    expectTypeOf(topology.keyspaces.device.key).toEqualTypeOf<readonly ["uuid", "text"]>()
    expectTypeOf<Topology.ShardsOf<typeof topology>>().toEqualTypeOf<"shard_1" | "shard_2">()
    expectTypeOf(topology).toExtend<Topology.Topology>()
    expectTypeOf<Table.KeyOf<typeof topology.tables.users>>().toEqualTypeOf<
      number | bigint | string | readonly [number | bigint | string]
    >()
    expectTypeOf<Table.KeyOf<typeof topology.tables.readings>>().toEqualTypeOf<readonly [string, string]>()
    expectTypeOf<KeyInput<"timestamptz">>().toEqualTypeOf<Date | string>()
  })

  it("refuse keys, shards and keyspaces that are not there", () => {
    // @ts-expect-error a boolean is no int8
    expect(Either.isLeft(Table.decodeKey(topology.tables.users, true))).toBe(true)
    // @ts-expect-error the key has two columns
    expect(Either.isLeft(Table.decodeKey(topology.tables.readings, "x"))).toBe(true)
    // @ts-expect-error an int4 takes numbers
    Table.decodeKey(topology.tables.small, "7")
    // @ts-expect-error a reference table has no key
    expect(() => Table.decodeKey(topology.tables.countries, 7)).toThrow()
    // @ts-expect-error there is no such table
    expect(topology.tables.missing).toBeUndefined()
    // @ts-expect-error "int9" is no key type
    Keyspace.hash({ key: ["int9"] })
    // @ts-expect-error a key needs a column
    Keyspace.hash({ key: [] })
    // @ts-expect-error a pin of an int4 key is a number
    Keyspace.hash({ key: ["int4"], pins: [{ key: "x", shard: "shard_1" }] })
    // @ts-expect-error ranges order keys of one column
    Keyspace.range({ key: ["int4", "text"], bounds: [] })

    // @ts-expect-error a misspelt property
    Topology.make({ shards: ["shard_1"], tabels: {} })

    const invalid = (make: () => unknown) => expect(make).toThrow(Topology.TopologyInvalid)
    // @ts-expect-error shard_9 is not among the shards
    invalid(() => Topology.make({ shards: ["shard_1"], tables: { a: Table.single("shard_9") } }))
    // @ts-expect-error there is no keyspace "nope"
    invalid(() => Topology.make({ shards: ["shard_1"], tables: { a: Table.sharded({ key: "id", keyspace: "nope" }) } }))
    // @ts-expect-error shard_9 is not among the shards
    invalid(() => Topology.make({ shards: ["shard_1"], meta: "shard_9" }))
  })

  it("give way where names are known only at run time", () => {
    const shards: ReadonlyArray<string> = ["a", "b"]
    const made = Topology.make({ shards, unlisted: shards[0], tables: { log: Table.single(shards[1] ?? "") } })
    expectTypeOf(made.shards).toEqualTypeOf<ReadonlyArray<ShardId.ShardId>>()
    expect(made.tables.log.shard).toBe("b")
  })
})

const problemsOf = (definition: Topology.Definition): ReadonlyArray<readonly [string, string]> =>
  Either.match(Topology.validate(definition), {
    onLeft: (invalid) => invalid.problems.map(({ _tag, path }) => [_tag, path] as const),
    onRight: () => []
  })

describe("mistakes", () => {
  it("about shards and slots", () => {
    expect(problemsOf({ shards: [] })).toEqual([["NoShards", "shards"]])
    expect(
      problemsOf({ shards: ["a", "a", "1st", "x".repeat(64)], meta: "m", unlisted: "u", slots: 100, epoch: 0 })
    ).toEqual([
      ["DuplicateShard", "shards[1]"],
      ["InvalidShardId", "shards[2]"],
      ["InvalidShardId", "shards[3]"],
      ["InvalidSlots", "slots"],
      ["InvalidEpoch", "epoch"],
      ["UnknownShard", "meta"],
      ["UnknownShard", "unlisted"]
    ])
    expect(
      problemsOf({
        shards: ["a", "b"],
        slots: 8,
        slotMap: [
          { from: 0, to: 3, shard: "a" },
          { from: 2, to: 6, shard: "b" },
          { from: 7, to: 9, shard: "c" }
        ]
      })
    ).toEqual([
      ["UnknownShard", "slotMap[2].shard"],
      ["SlotRangeInvalid", "slotMap"],
      ["SlotOverlap", "slotMap"],
      ["SlotHole", "slotMap"]
    ])
  })

  it("about keyspaces", () => {
    const nondeterministic = { type: "text", collation: { name: "ci", deterministic: false } } as const
    expect(
      problemsOf({
        shards: ["a", "b"],
        keyspaces: {
          typed: { key: ["int8", "float8"], resolver: { _tag: "Hash" } },
          empty: { key: [], resolver: { _tag: "Hash" } },
          wide: { key: ["int2", "int2", "int2", "int2", "int2", "int2", "int2"], resolver: { _tag: "Hash" } },
          ci: Keyspace.hash({ key: [nondeterministic] }),
          pins: {
            key: ["int2"],
            resolver: { _tag: "Hash" },
            pins: [
              { key: 1, shard: "a" },
              { key: [1], shard: "b" },
              { key: "x", shard: "a" },
              { key: [1, 2], shard: "a" },
              { key: 40000, shard: "a" },
              { key: 2, shard: "z" }
            ]
          },
          ranges: {
            key: ["int4"],
            resolver: {
              _tag: "Range",
              bounds: [
                { from: 0, to: 10, shard: "a" },
                { from: 9, to: 20, shard: "b" },
                { from: 30, to: 30, shard: "a" },
                { from: "x", shard: "b" },
                { to: null, shard: "a" },
                { from: 40, shard: "z" },
                { from: 1, to: 2, shard: "a" }
              ]
            }
          },
          list: {
            key: ["text"],
            resolver: {
              _tag: "List",
              entries: [
                { keys: ["x", "y"], shard: "a" },
                { keys: ["x"], shard: "z" }
              ],
              otherwise: "q"
            }
          },
          pair: { key: ["int4", "int4"], resolver: { _tag: "Range", bounds: [] } },
          directory: Keyspace.lookup({ key: ["int4"], directory: "a.b.c" }),
          custom: Keyspace.custom({ key: ["int4"], name: "" })
        }
      })
    ).toEqual([
      ["UnknownKeyType", "keyspaces.typed.key[1]"],
      ["KeyColumnsMismatch", "keyspaces.empty.key"],
      ["KeyColumnsMismatch", "keyspaces.wide.key"],
      ["NondeterministicCollation", "keyspaces.ci.key[0]"],
      ["DuplicatePin", "keyspaces.pins.pins[1].key"],
      ["InvalidKey", "keyspaces.pins.pins[2].key"],
      ["InvalidKey", "keyspaces.pins.pins[3].key"],
      ["InvalidKey", "keyspaces.pins.pins[4].key"],
      ["UnknownShard", "keyspaces.pins.pins[5].shard"],
      ["RangeEmpty", "keyspaces.ranges.resolver.bounds[2]"],
      ["InvalidKey", "keyspaces.ranges.resolver.bounds[3].from"],
      ["InvalidKey", "keyspaces.ranges.resolver.bounds[4].to"],
      ["UnknownShard", "keyspaces.ranges.resolver.bounds[5].shard"],
      ["RangeOverlap", "keyspaces.ranges.resolver.bounds"],
      ["RangeOverlap", "keyspaces.ranges.resolver.bounds"],
      ["UnknownShard", "keyspaces.list.resolver.entries[1].shard"],
      ["DuplicateListKey", "keyspaces.list.resolver.entries[1].keys[0]"],
      ["UnknownShard", "keyspaces.list.resolver.otherwise"],
      ["KeyColumnsMismatch", "keyspaces.pair.resolver"],
      ["InvalidName", "keyspaces.directory.resolver.directory"],
      ["InvalidName", "keyspaces.custom.resolver.name"]
    ])
  })

  it("about tables", () => {
    expect(
      problemsOf({
        shards: ["a"],
        pureFunctions: ["ok", "a.b.c"],
        keyspaces: { user: Keyspace.hash({ key: ["int8"] }), pair: Keyspace.hash({ key: ["text", "text"] }) },
        tables: {
          fine: Table.sharded({ key: { id: "int2" }, keyspace: "user" }),
          numeric: Table.sharded({ key: { id: "numeric" }, keyspace: "user" }),
          wide: Table.sharded({ key: ["a", "b"], keyspace: "user" }),
          twice: Table.sharded({ key: ["a", "a"], keyspace: "pair" }),
          typed: { _tag: "Sharded", key: { id: "money" }, keyspace: "user" },
          ci: Table.sharded({
            key: [{ column: "a", type: { type: "varchar", collation: { name: "ci", deterministic: false } } }, "b"],
            keyspace: "pair"
          }),
          lost: Table.sharded({ key: "id", keyspace: "constructor" }),
          home: Table.single("z"),
          "public.fine": Table.reference(),
          "a.b.c": Table.reference(),
          "": Table.reference()
        }
      })
    ).toEqual([
      ["InvalidName", "pureFunctions[1]"],
      ["KeyTypeMismatch", "tables.numeric.key.id"],
      ["KeyColumnsMismatch", "tables.wide.key"],
      ["DuplicateKeyColumn", "tables.twice.key"],
      ["UnknownKeyType", "tables.typed.key.id"],
      ["NondeterministicCollation", "tables.ci.key.a"],
      ["UnknownKeyspace", "tables.lost.keyspace"],
      ["UnknownShard", "tables.home.shard"],
      ["DuplicateTable", "tables.public.fine"],
      ["InvalidName", "tables.a.b.c"],
      ["InvalidName", "tables."]
    ])
  })

  it("are all in one message, by name", () => {
    const definition: Topology.Definition = {
      shards: ["a"],
      tables: { t: Table.single("z"), u: Table.sharded({ key: "id", keyspace: "k" }) }
    }
    const invalid = Either.getOrThrow(Either.flip(Topology.validate(definition)))
    expect(invalid.message).toBe(
      [
        "the topology has 2 mistakes",
        '- tables.t.shard: shard "z" is not among the shards (a) [UnknownShard]',
        '- tables.u.keyspace: keyspace "k" is not among the keyspaces () [UnknownKeyspace]'
      ].join("\n")
    )
  })
})

describe("JSON", () => {
  it("goes there and back", () => {
    const text = Topology.encodeJson(topology)
    const again = Either.getOrThrow(Topology.decodeJson(text))
    expect(again).toEqual(topology)
    expect(again.slotMap).toEqual(topology.slotMap)
    expect(SlotMap.ranges(again.slotMap)).toEqual(SlotMap.ranges(topology.slotMap))
    expect(Topology.encodeJson(again)).toBe(text)
  })

  it("says what is wrong: text, shape, unknown properties, and every mistake", () => {
    const failure = (text: string) => Either.getOrThrow(Either.flip(Topology.decodeJson(text))).message
    expect(failure("{")).toMatch(/JSON/)
    expect(failure("{}")).toMatch(/shards/)
    expect(failure(JSON.stringify({ shards: ["a"], tabels: {} }))).toMatch(/tabels/)
    expect(
      failure(
        JSON.stringify({ shards: ["a"], keyspaces: { k: { key: ["int8"], resolver: { _tag: "Hash", slots: 3 } } } })
      )
    ).toMatch(/slots/)
    const mistakes = failure(JSON.stringify({ shards: ["a"], meta: "b", unlisted: "c" }))
    expect(mistakes).toMatch(/"b" is not among/)
    expect(mistakes).toMatch(/"c" is not among/)
  })
})

describe("withSlotMap", () => {
  it("takes the map's epoch, and refuses a map of another cluster", () => {
    const moved = SlotMap.move(topology.slotMap, [0], ShardId.make("shard_1"))
    const next = Either.getOrThrow(Topology.withSlotMap(topology, moved))
    expect(next.epoch).toBe(8)
    expect(SlotMap.owner(next.slotMap, 0)).toBe("shard_1")
    expect(next.tables).toBe(topology.tables)
    const foreign = SlotMap.move(topology.slotMap, [0], ShardId.make("shard_9"))
    expect(Either.isLeft(Topology.withSlotMap(topology, foreign))).toBe(true)
    const larger = SlotMap.even([ShardId.make("shard_1")], { slots: 2048 })
    expect(Either.isLeft(Topology.withSlotMap(topology, larger))).toBe(true)
  })
})
