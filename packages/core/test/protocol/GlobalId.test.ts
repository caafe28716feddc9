import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"

const name = (length: number) => fc.stringOf(fc.constantFrom(..."abcxyz0189"), { minLength: length, maxLength: length })
const xid = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)
const shard = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_]{0,62}$/).map(ShardId.make)
const globalId: fc.Arbitrary<GlobalId.GlobalId> = fc.record({
  cluster: name(GlobalId.clusterLength),
  transaction: name(GlobalId.transactionLength),
  decider: shard,
  deciderXid: xid,
  xid
})

describe("GlobalId", () => {
  it("is read as it was written, and fits into what PostgreSQL allows", () => {
    fc.assert(
      fc.property(globalId, (id) => {
        const text = GlobalId.format(id)
        expect(GlobalId.parse(text)).toEqual(id)
        expect(Buffer.byteLength(text)).toBeLessThan(200)
      })
    )
  })

  it("is told from the names of others, and from its own parts", () => {
    const text = "shardlayer:abcdefghijkl:abcdefghijklmnopqrst:shard_1:17:18"
    expect(GlobalId.parse(text)).toBeDefined()
    for (const other of ["", "backup", `${text}9:`, ` ${text}`, `${text}\n`, text.toUpperCase()]) {
      expect(GlobalId.parse(other)).toBeUndefined()
    }
    for (let length = 0; length < text.length - 1; length++) {
      expect(GlobalId.parse(text.slice(0, length))).toBeUndefined()
      expect(GlobalId.parse(text.slice(text.length - length))).toBeUndefined()
    }
    expect(GlobalId.parse(text.replace("shard_1", "1shard"))).toBeUndefined()
  })

  it("draws names of letters and digits, whatever the random bytes are", () => {
    let byte = 0
    const counting = (bytes: Uint8Array) => bytes.map(() => byte++ % 256)
    for (const length of [GlobalId.clusterLength, GlobalId.transactionLength, 252, 253]) {
      expect(GlobalId.newName(length, counting)).toMatch(new RegExp(`^[a-z0-9]{${length}}$`))
    }
    byte = 0
    const letters = [...GlobalId.newName(252, counting)]
    // As often each, since 252 to 255 are passed over.
    for (const letter of "a9") expect(letters.filter((other) => other === letter)).toHaveLength(7)
  })
})
