/** Between who reads rows and who writes them out: bounded, woken once, and able to say which row was meant by a line. */
import { describe, expect, it } from "@effect/vitest"
import { bufferMax, CopyWriter, tracedRowsMax } from "@shardlayer/core/internal/copyWriter"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

describe("CopyWriter", () => {
  it("gives what there is, then says whether more comes", () => {
    const writer = new CopyWriter("utf8")
    let woken = 0
    expect(writer.take()).toBe(undefined)
    writer.whenMore(() => woken++)
    writer.push("a", 0, 1)
    expect(woken).toBe(0)
    writer.flush()
    writer.flush()
    expect(woken).toBe(1)
    expect(writer.take()).toBe("a\n")
    writer.whenMore(() => woken++)
    writer.push("b", 0, 2)
    writer.end()
    expect(woken).toBe(2)
    expect([writer.take(), writer.take()]).toEqual(["b\n", null])
  })

  it.effect("is full at its bound, until it is emptied", () =>
    Effect.gen(function* () {
      const writer = new CopyWriter("utf8")
      yield* writer.room
      while (!writer.isFull) writer.push("x".repeat(999), 0, writer.rows + 1)
      expect(writer.rows).toBe(Math.ceil(bufferMax / 1_000))
      const waiting = yield* Effect.fork(writer.room)
      yield* Effect.yieldNow()
      expect(waiting.unsafePoll()).toBe(null)
      expect(writer.take()).toHaveLength(writer.rows * 1_000)
      yield* Fiber.join(waiting)
    })
  )

  it("knows the rows of the lines that it sent last", () => {
    const writer = new CopyWriter("utf8")
    const sent = tracedRowsMax + 1_000
    // Every second row has three lines, and every third of the input came here.
    for (let row = 0; row < sent; row++) writer.push("", row % 2 === 1 ? 2 : 0, row * 3 + 1)
    const lastLine = (row: number) => row + 1 + Math.floor((row + 1) / 2) * 2
    for (const row of [1_001, 1_002, 40_000, 40_001, sent - 1]) {
      expect([row, writer.rowOf(lastLine(row))]).toEqual([row, row * 3 + 1])
    }
    expect(writer.rowOf(lastLine(40_001) - 1)).toBe(40_001 * 3 + 1)
    expect(writer.rowOf(lastLine(500))).toBe(undefined)
    expect(writer.rowOf(lastLine(sent) + 5)).toBe(undefined)
    const multiline = new CopyWriter("latin1")
    multiline.push("a\nb", 1, 1)
    expect(multiline.rowOf(2)).toBe(undefined)
  })
})
