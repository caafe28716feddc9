/** Between who reads rows and who writes them out: bounded, woken once, and able to say which row was meant by a line. */
import { describe, expect, it } from "@effect/vitest"
import { bufferMax, CopyWriter, tracedRowsMax } from "@shardlayer/core/internal/copyWriter"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** One record, as text. */
const push = (writer: CopyWriter, record: string, lines: number, row: number): void => {
  writer.reserve(record.length)
  for (const letter of record) writer.bytes[writer.length++] = letter.charCodeAt(0)
  writer.close(lines, row)
}

const take = (writer: CopyWriter): string | null | undefined => {
  const bytes = writer.take()
  return bytes instanceof Uint8Array ? String.fromCharCode(...bytes) : bytes
}

const whole = (writer: CopyWriter): ReadonlyArray<number> => {
  const sizes: Array<number> = []
  for (let bytes = writer.take(); bytes instanceof Uint8Array; bytes = writer.take()) sizes.push(bytes.length)
  return sizes
}

describe("CopyWriter", () => {
  it("gives what there is, then says whether more comes", () => {
    const writer = new CopyWriter()
    let woken = 0
    expect(take(writer)).toBe(undefined)
    writer.whenMore(() => woken++)
    push(writer, "a", 0, 1)
    expect(woken).toBe(0)
    writer.flush()
    writer.flush()
    expect(woken).toBe(1)
    expect(take(writer)).toBe("a\n")
    writer.whenMore(() => woken++)
    push(writer, "b", 0, 2)
    writer.end()
    expect(woken).toBe(2)
    expect([take(writer), take(writer)]).toEqual(["b\n", null])
  })

  it.effect("is full at its bound, until it is emptied", () =>
    Effect.gen(function* () {
      const writer = new CopyWriter()
      yield* writer.room
      while (!writer.isFull) push(writer, "x".repeat(999), 0, writer.rows + 1)
      expect(writer.rows).toBe(Math.ceil(bufferMax / 1_000))
      const waiting = yield* Effect.fork(writer.room)
      yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toBe(null)
      const sizes = whole(writer)
      yield* Fiber.join(waiting)
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(writer.rows * 1_000)
      expect(Math.max(...sizes)).toBeLessThanOrEqual(65_536)
    })
  )

  it("does not write over what was taken, and takes a record that is longer than all else", () => {
    const writer = new CopyWriter()
    push(writer, "a", 0, 1)
    const first = writer.take()
    push(writer, "b", 0, 2)
    push(writer, "x".repeat(2 * bufferMax), 0, 3)
    push(writer, "c", 0, 4)
    const second = take(writer)
    expect(first).toEqual(new Uint8Array([97, 10]))
    expect(second).toBe("b\n")
    expect(whole(writer).reduce((sum, size) => sum + size, 0)).toBe(2 * bufferMax + 3)
    writer.sent(7)
    expect([writer.rows, writer.bytesSent]).toEqual([4, 7])
  })

  it("wakes who waits for data once there is a chunk of it", () => {
    const writer = new CopyWriter()
    const wokenAt: Array<number> = []
    writer.whenMore(() => wokenAt.push(writer.rows))
    for (let row = 1; row <= 1_000; row++) push(writer, "x".repeat(99), 0, row)
    expect(wokenAt).toEqual([Math.ceil(65_536 / 100)])
  })

  it("knows the rows of the lines that it sent last", () => {
    const writer = new CopyWriter()
    const sent = tracedRowsMax + 1_000
    // Every second row has three lines, and every third of the input came here.
    for (let row = 0; row < sent; row++) push(writer, "", row % 2 === 1 ? 2 : 0, row * 3 + 1)
    const lastLine = (row: number) => row + 1 + Math.floor((row + 1) / 2) * 2
    for (const row of [1_001, 1_002, 40_000, 40_001, sent - 1]) {
      expect([row, writer.rowOf(lastLine(row))]).toEqual([row, row * 3 + 1])
    }
    expect(writer.rowOf(lastLine(40_001) - 1)).toBe(40_001 * 3 + 1)
    expect(writer.rowOf(lastLine(500))).toBe(undefined)
    expect(writer.rowOf(lastLine(sent) + 5)).toBe(undefined)
    const multiline = new CopyWriter()
    push(multiline, "a\nb", 1, 1)
    expect(multiline.rowOf(2)).toBe(undefined)
  })
})
