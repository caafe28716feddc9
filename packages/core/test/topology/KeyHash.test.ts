// Frozen answers of a PostgreSQL 18.4 server: the hash of each value, and the slot of 16,384 its partitioning accepts.
import * as KeyHash from "@shardlayer/core/topology/KeyHash"
import type { KeyType } from "@shardlayer/core/topology/KeyType"
import * as KeyValue from "@shardlayer/core/topology/KeyValue"
import * as Either from "effect/Either"
import { describe, expect, it } from "vitest"

const vectors: ReadonlyArray<readonly [type: KeyType, key: string, hash: string, slot: number]> = [
  ["int2", "0", "c2e34bda39f0f0cd", 6576],
  ["int2", "1", "52d621058124e6d5", 4024],
  ["int2", "-1", "ba5fc748095606c2", 12197],
  ["int2", "32767", "a6ac42e1ee4bb5eb", 7886],
  ["int2", "-32768", "51ac94e226a0db9a", 1149],
  ["int4", "0", "c2e34bda39f0f0cd", 6576],
  ["int4", "42", "663218bcfb84b17f", 6754],
  ["int4", "-42", "5c6f545b0b7cb85f", 8514],
  ["int4", "2147483647", "ac09237e4899f89c", 8575],
  ["int4", "-2147483648", "44893a0f1e949193", 14966],
  ["int8", "0", "c2e34bda39f0f0cd", 6576],
  ["int8", "42", "663218bcfb84b17f", 6754],
  ["int8", "-42", "5c6f545b0b7cb85f", 8514],
  ["int8", "4294967296", "52d621058124e6d5", 4024],
  ["int8", "-4294967296", "c2e34bda39f0f0cd", 6576],
  ["int8", "1234567890123456789", "81a3be9c9985a7ad", 4240],
  ["int8", "9223372036854775807", "44893a0f1e949193", 14966],
  ["int8", "-9223372036854775808", "ac09237e4899f89c", 8575],
  ["text", "", "b0e33d0b543fbfc3", 10406],
  ["text", "a", "a2f240f8823ba67b", 3934],
  ["text", "hello world!", "e5d29fdb5cc667f9", 4316],
  ["text", "hello world!!", "6783544a443196a0", 16259],
  ["text", "Zürich", "de609df62a2efca3", 9606],
  ["text", "日本語", "9047acd944d603db", 11454],
  ["text", "\u{1F600}", "0262b3261273c08e", 10609],
  ["text", "\u{10FFFF}", "ac3a1d675a4f67fa", 4317],
  ["varchar", "hello", "db6d9b35c2a082b1", 11156],
  ["uuid", "00000000-0000-0000-0000-000000000000", "b6b5d3c4aa5d92c2", 15269],
  ["uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "05e42c7f7f75bced", 9680],
  ["uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", "fdeeb1999c98549e", 15745],
  ["bytea", "\\x", "b0e33d0b543fbfc3", 10406],
  ["bytea", "\\x00", "88e1eaa2dfe51cd7", 1466],
  ["bytea", "\\xdeadbeef", "f3af13157ee38e60", 14147],
  ["bytea", "\\x000102030405060708090a0b0c", "daff5fdfb1fbaa5d", 4928],
  ["bool", "t", "52d621058124e6d5", 4024],
  ["bool", "f", "c2e34bda39f0f0cd", 6576],
  ["date", "2000-01-01", "c2e34bda39f0f0cd", 6576],
  ["date", "1999-12-31", "ba5fc748095606c2", 12197],
  ["date", "2024-02-29", "98f4c43666df1404", 15591],
  ["date", "0044-03-15 BC", "d56170afc11fb299", 7036],
  ["date", "infinity", "ac09237e4899f89c", 8575],
  ["date", "-infinity", "44893a0f1e949193", 14966],
  ["timestamptz", "2000-01-01 00:00:00+00", "c2e34bda39f0f0cd", 6576],
  ["timestamptz", "1999-12-31 23:59:59.999999+00", "ba5fc748095606c2", 12197],
  ["timestamptz", "2024-02-29 12:34:56.789012+00", "22c2adb84313544e", 15665],
  ["timestamptz", "0044-03-15 12:00:00+00 BC", "dd584427840b7e94", 10103],
  ["timestamptz", "infinity", "44893a0f1e949193", 14966],
  ["timestamptz", "-infinity", "ac09237e4899f89c", 8575],
  ["numeric", "0", "7a5b22367996dcfc", 1503],
  ["numeric", "1", "d32735c3aa01325e", 6977],
  ["numeric", "-1", "d32735c3aa01325e", 6977],
  ["numeric", "10000", "d32735c3aa01325f", 6978],
  ["numeric", "12345.678", "c8430ff7f9fd0188", 10859],
  ["numeric", "0.0001", "2cd8ca3c55fecda1", 13956],
  ["numeric", "0.00001", "92c9fad05bfaabb5", 5272],
  ["numeric", "-123456789012345678901234567890.5", "36b3797ec6a86286", 2921],
  ["numeric", "NaN", "7a5b22367996dcfd", 1504],
  ["numeric", "Infinity", "7a5b22367996dcfd", 1504],
  ["numeric", "-Infinity", "7a5b22367996dcfd", 1504]
]

const composites: ReadonlyArray<readonly [ReadonlyArray<KeyType>, KeyValue.KeyTuple, slotOf65536: number]> = [
  [["int8", "text"], ["42", "a"], 32368],
  [["int8", "text"], [null, "a"], 20318],
  [["int8", "text"], ["42", null], 23138],
  [["int8", "text"], [null, null], 0],
  [
    ["uuid", "timestamptz", "numeric"],
    ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "2024-02-29 12:34:56.789012+00", "12345.678"],
    19003
  ]
]

describe("KeyHash", () => {
  it.each(vectors)("%s %s", (type, key, hash, slot) => {
    expect(KeyHash.part(type, key).toString(16).padStart(16, "0")).toBe(hash)
    expect(KeyHash.slot([type], [key], 16384)).toBe(slot)
    expect(KeyHash.hash([type], [key]) % 16384n).toBe(BigInt(slot))
    expect(KeyValue.canonical(type, key)).toEqual(Either.right(key))
  })

  it.each(composites)("(%j) %j", (types, key, slot) => {
    expect(KeyHash.slot(types, key, 65536)).toBe(slot)
    expect(KeyHash.hash(types, key) % 65536n).toBe(BigInt(slot))
  })

  it("slots nest: a slot of 16,384 modulo 16 is the slot of 16", () => {
    for (const [types, key] of composites) {
      expect(KeyHash.slot(types, key, 16384) % 16).toBe(KeyHash.slot(types, key, 16))
    }
  })

  it("a long key, then a short one: what the first left behind is not seen by the second", () => {
    const [long, short] = ["x".repeat(100_000), "a"]
    const fresh = KeyHash.part("text", long)
    expect(KeyHash.part("text", short).toString(16)).toBe("a2f240f8823ba67b")
    expect(KeyHash.part("text", long)).toBe(fresh)
    expect(KeyHash.slot(["text"], ["y".repeat(200_000)], 16384)).toBe(
      KeyHash.slot(["text"], ["y".repeat(200_000)], 16384)
    )
  })
})
