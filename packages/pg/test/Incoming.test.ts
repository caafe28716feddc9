// Messages go to the driver as they came, rows to the reader, however the bytes are cut.
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Incoming } from "../src/internal/incoming.js"

type Row = ReadonlyArray<string | null>
type Message = { readonly kind: "row"; readonly row: Row } | { readonly kind: "other"; readonly bytes: Buffer }

const framed = (kind: string, ...body: ReadonlyArray<Buffer>): Buffer => {
  const bytes = Buffer.concat(body)
  const head = Buffer.alloc(5)
  head.write(kind)
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}

const int = (size: 2 | 4, value: number): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeIntBE(value, 0, size)
  return bytes
}

const encoded = (message: Message): Buffer => {
  if (message.kind === "other") return message.bytes
  const values = message.row.flatMap((value) => {
    if (value === null) return [int(4, -1)]
    const bytes = Buffer.from(value)
    return [int(4, bytes.length), bytes]
  })
  return framed("D", int(2, message.row.length), ...values)
}

const value = fc.option(
  fc.oneof(
    fc.string({ maxLength: 20 }),
    fc.string({ unit: "grapheme", maxLength: 20 }),
    fc.constantFrom("", "\u0000", "\u{1f600}", "é".repeat(30), "x".repeat(300))
  )
)
const row = fc.oneof(fc.array(value, { maxLength: 4 }), fc.tuple(value, value))
const other = fc
  .tuple(fc.constantFrom("C", "Z", "N", "S", "T"), fc.uint8Array({ maxLength: 40 }))
  .map(([kind, body]) => framed(kind, Buffer.from(body)))
const message: fc.Arbitrary<Message> = fc.oneof(
  { weight: 3, arbitrary: row.map((given) => ({ kind: "row" as const, row: given })) },
  { weight: 1, arbitrary: other.map((bytes) => ({ kind: "other" as const, bytes })) }
)

const cut = (bytes: Buffer, sizes: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const pieces: Array<Buffer> = []
  let at = 0
  for (const size of sizes) {
    if (at >= bytes.length) break
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return [...pieces, bytes.subarray(at)].filter((piece) => piece.length > 0)
}

describe("Incoming", () => {
  it("gives every row and every other message, in their order", () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 25 }),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 400 })), { maxLength: 60 }),
        (messages, sizes) => {
          const given: Array<Message> = []
          const incoming = new Incoming((bytes) => given.push({ kind: "other", bytes }))
          incoming.reader = (page) => {
            for (let at = 0; at < page.count; at++) given.push({ kind: "row", row: page.row(at) })
          }
          for (const piece of cut(Buffer.concat(messages.map(encoded)), sizes)) incoming.take(piece)
          // What is not for the reader may come several messages at a time.
          const joined = (all: ReadonlyArray<Message>) => {
            const runs: Array<Row | string> = []
            for (const each of all) {
              const last = runs.at(-1)
              if (each.kind === "row") runs.push(each.row)
              else if (typeof last === "string") runs[runs.length - 1] = last + each.bytes.toString("hex")
              else runs.push(each.bytes.toString("hex"))
            }
            return runs
          }
          expect(joined(given)).toEqual(joined(messages))
        }
      ),
      { numRuns: 500 }
    )
  })

  it("leaves rows to the driver where nobody reads them, and begins and ends with the reader", () => {
    const rows: Array<Row> = []
    const toDriver: Array<Buffer> = []
    const incoming = new Incoming((bytes) => {
      toDriver.push(Buffer.from(bytes))
      if (bytes.includes("begin")) incoming.reader = (page) => rows.push(page.row(0))
      if (bytes.includes("end")) incoming.reader = undefined
    })
    const [one, two, three] = ["one", "two", "three"].map((text) => encoded({ kind: "row", row: [text] }))
    const [begin, end] = ["begin", "end"].map((text) => framed("N", Buffer.from(text)))
    const sent = [one!, begin!, two!, end!, three!]
    incoming.take(Buffer.concat(sent))
    expect(rows).toEqual([])
    for (const each of sent) incoming.take(each)
    expect(rows).toEqual([["two"]])
    expect(Buffer.concat(toDriver)).toEqual(Buffer.concat([...sent, one!, begin!, end!, three!]))
  })

  it("joins a row of many buffers", () => {
    const long = "ab€".repeat(400_000)
    const bytes = encoded({ kind: "row", row: ["1", long, null] })
    const incoming = new Incoming(() => {})
    const rows: Array<Row> = []
    incoming.reader = (page) => rows.push(page.row(0))
    for (let at = 0; at < bytes.length; at += 65_536) incoming.take(bytes.subarray(at, at + 65_536))
    expect(rows).toEqual([["1", long, null]])
  })

  it("leaves to the driver what is no message", () => {
    const toDriver: Array<Buffer> = []
    const incoming = new Incoming((bytes) => toDriver.push(Buffer.from(bytes)))
    incoming.reader = () => {}
    const garbled = Buffer.concat([framed("Z", Buffer.from("I")), Buffer.from([68, 0, 0, 0, 1, 7])])
    incoming.take(garbled)
    incoming.take(Buffer.from("more"))
    expect(Buffer.concat(toDriver)).toEqual(Buffer.concat([garbled, Buffer.from("more")]))
  })
})
