// Who owns a key: pins first, then the resolver.
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as Resolver from "@shardlayer/core/topology/Resolver"
import * as SlotMap from "@shardlayer/core/topology/SlotMap"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const topology = Topology.make({
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    user: Keyspace.hash({
      key: ["int8"],
      pins: [
        { key: 42, shard: "shard_3" },
        { key: [43n], shard: "shard_1" }
      ]
    }),
    tenant: Keyspace.hash({ key: ["text", "uuid"] }),
    year: Keyspace.range({
      key: ["date"],
      bounds: [
        { from: "2024-01-01", to: "2025-01-01", shard: "shard_2" },
        { to: "2024-01-01", shard: "shard_1" },
        { from: "2026-01-01", shard: "shard_3" }
      ],
      pins: [{ key: "2025-06-01", shard: "shard_1" }]
    }),
    amount: Keyspace.range({
      key: ["numeric"],
      bounds: [
        { from: "-5", to: 10, shard: "shard_1" },
        { from: "1e1", shard: "shard_2" }
      ]
    }),
    country: Keyspace.list({
      key: ["text"],
      entries: [
        { keys: ["se", "no"], shard: "shard_1" },
        { keys: ["de"], shard: "shard_2" }
      ],
      otherwise: "shard_3"
    }),
    place: Keyspace.list({
      key: ["text", "int4"],
      entries: [
        {
          keys: [
            ["a", 1],
            ["a", 2]
          ],
          shard: "shard_1"
        }
      ]
    }),
    customer: Keyspace.lookup({ key: ["uuid"], directory: "shardlayer.customer_shard" }),
    moon: Keyspace.custom({ key: ["text"], name: "byMoon", pins: [{ key: "full", shard: "shard_2" }] })
  }
})

const owner = (keyspace: Keyspace.Keyspace, ...key: KeyTuple) => Resolver.owner(topology, keyspace, key)
const on = (shard: string) => ({ _tag: "Shard", shard })

describe("owner", () => {
  it("of a hashed key is its slot's owner, but for pins", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (n) => {
        fc.pre(n !== 42n && n !== 43n)
        const slot = KeyHash.slot(["int8"], [String(n)], 16384)
        expect(owner(topology.keyspaces.user, String(n))).toEqual(on(SlotMap.owner(topology.slotMap, slot)))
      })
    )
    expect(owner(topology.keyspaces.user, "42")).toEqual(on("shard_3"))
    expect(owner(topology.keyspaces.user, "43")).toEqual(on("shard_1"))
    expect(owner(topology.keyspaces.user, null)).toEqual(on("shard_1"))
    expect(owner(topology.keyspaces.tenant, "a", null)._tag).toBe("Shard")
  })

  it("of a key in a range: from is inside, to is not; holes and NULL have none", () => {
    const { year } = topology.keyspaces
    expect(owner(year, "2023-12-31")).toEqual(on("shard_1"))
    expect(owner(year, "0044-03-15 BC")).toEqual(on("shard_1"))
    expect(owner(year, "-infinity")).toEqual(on("shard_1"))
    expect(owner(year, "2024-01-01")).toEqual(on("shard_2"))
    expect(owner(year, "2024-12-31")).toEqual(on("shard_2"))
    expect(owner(year, "2025-01-01")).toEqual({
      _tag: "None",
      reason: 'the key (2025-01-01) of keyspace "year" is in no range'
    })
    expect(owner(year, "2025-06-01")).toEqual(on("shard_1"))
    expect(owner(year, "10000-01-01")).toEqual(on("shard_3"))
    expect(owner(year, null)._tag).toBe("None")
  })

  it("orders numbers as numbers", () => {
    const { amount } = topology.keyspaces
    expect(owner(amount, "-5.01")._tag).toBe("None")
    expect(owner(amount, "-5")).toEqual(on("shard_1"))
    expect(owner(amount, "9.999")).toEqual(on("shard_1"))
    expect(owner(amount, "10")).toEqual(on("shard_2"))
    expect(owner(amount, "NaN")).toEqual(on("shard_2"))
  })

  it("of a listed key is its entry's, else the one named otherwise", () => {
    expect(owner(topology.keyspaces.country, "no")).toEqual(on("shard_1"))
    expect(owner(topology.keyspaces.country, "de")).toEqual(on("shard_2"))
    expect(owner(topology.keyspaces.country, "NO")).toEqual(on("shard_3"))
    expect(owner(topology.keyspaces.country, null)).toEqual(on("shard_3"))
    expect(owner(topology.keyspaces.place, "a", "2")).toEqual(on("shard_1"))
    expect(owner(topology.keyspaces.place, "a", "3")).toEqual({
      _tag: "None",
      reason: 'the key (a, 3) of keyspace "place" is in no list entry'
    })
  })

  it("of a looked-up or custom key is to be asked for, but for pins", () => {
    const uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    expect(owner(topology.keyspaces.customer, uuid)).toEqual({
      _tag: "Ask",
      resolver: { _tag: "Lookup", directory: "shardlayer.customer_shard" },
      keyspace: "customer",
      key: [uuid]
    })
    expect(owner(topology.keyspaces.moon, "new")).toMatchObject({
      _tag: "Ask",
      resolver: { _tag: "Custom", name: "byMoon" }
    })
    expect(owner(topology.keyspaces.moon, "full")).toEqual(on("shard_2"))
  })

  it("a key of the wrong width is a mistake of the caller", () => {
    expect(() => owner(topology.keyspaces.user, "1", "2")).toThrow(/2 parts/)
  })
})
