/** Any number of holders over a clock that goes where it likes: no id is made twice. */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import * as IdLease from "../../src/protocol/IdLease.js"
import * as IdLayout from "../../src/topology/IdLayout.js"

/** So small that everything overflows: 4 ids a tick, 2 nodes. */
const tiny: IdLayout.Layout = { tickMillis: 10, tickBits: 41, nodeBits: 1, counterBits: 2 }

const start = IdLayout.epochMillis + 1_000_000

interface Holder {
  span: IdLease.Span | undefined
  last: IdLease.Last | undefined
}

const action = fc.oneof(
  fc.record({ kind: fc.constant("clock" as const), byMillis: fc.constantFrom(-250, -50, 5, 60, 120, 300) }),
  fc.record({ kind: fc.constant("lease" as const), holder: fc.nat({ max: 2 }) }),
  // Its own idea of the time may be any.
  fc.record({
    kind: fc.constant("take" as const),
    holder: fc.nat({ max: 2 }),
    count: fc.constantFrom(1, 7, 200),
    offMillis: fc.constantFrom(-1_000, 0, 90, 1_000)
  })
)

describe("IdLease", () => {
  it("makes no id twice and each holder's ascending, whatever clocks do and however late a holder goes on", () => {
    fc.assert(
      fc.property(fc.array(action, { minLength: 20, maxLength: 120 }), (actions) => {
        const rows = new Map<number, IdLease.Row & { readonly holder: number }>()
        const holders: Array<Holder> = Array.from({ length: 3 }, () => ({ span: undefined, last: undefined }))
        const made = new Set<string>()
        let now = start
        for (const step of actions) {
          if (step.kind === "clock") {
            now = Math.max(start - 500, now + step.byMillis)
            continue
          }
          const holder = holders[step.holder]!
          if (step.kind === "lease") {
            const leaseMillis = 100
            const own = holder.span === undefined ? undefined : rows.get(holder.span.node)
            const isOwn = own?.holder === step.holder
            const choice = isOwn
              ? ({ _tag: "Take", node: own.node, fromMillis: own.untilMillis } as const)
              : IdLease.choose([...rows.values()], 2, now)
            if (choice._tag !== "Take") continue
            const untilMillis = isOwn ? Math.max(own.untilMillis, now + leaseMillis) : choice.fromMillis + leaseMillis
            rows.set(choice.node, {
              node: choice.node,
              holder: step.holder,
              expiresMillis: now + leaseMillis,
              untilMillis
            })
            const span = IdLease.span(tiny, { ...choice, untilMillis })
            holder.span = isOwn ? { ...span, fromTick: Math.min(span.fromTick, holder.span!.fromTick) } : span
            continue
          }
          if (holder.span === undefined) continue
          const before = holder.last
          const taken = IdLease.take(tiny, holder.span, before, now + step.offMillis, step.count)
          holder.last = taken.last
          let least = before === undefined ? -1n : BigInt(IdLayout.compose(tiny, before))
          for (const id of taken.ids) {
            expect(made.has(id)).toBe(false)
            made.add(id)
            expect(BigInt(id) > least).toBe(true)
            least = BigInt(id)
          }
        }
      }),
      { numRuns: 1_000 }
    )
  })

  it("borrows from the ticks ahead, as far as the span goes and no farther", () => {
    const span = IdLease.span(tiny, { node: 1, fromMillis: start, untilMillis: start + 50 })
    const taken = IdLease.take(tiny, span, undefined, start - 1_000, 100)
    expect(taken.ids.length).toBe(20)
    expect(IdLease.take(tiny, span, taken.last, start + 49, 1).ids).toEqual([])
    expect(IdLease.take(tiny, { ...span, untilTick: span.untilTick + 1 }, taken.last, start, 9).ids.length).toBe(4)
  })

  it("goes on behind the tick of another node's last id, whose counter says nothing", () => {
    const span = IdLease.span(tiny, { node: 0, fromMillis: start, untilMillis: start + 50 })
    const last = { tick: span.fromTick + 1, node: 1, counter: 0 }
    const [id] = IdLease.take(tiny, span, last, start, 1).ids
    expect(IdLayout.parse(tiny, id!)).toEqual({ tick: last.tick + 1, node: 0, counter: 0 })
  })

  it("takes what is free in the order that loses least", () => {
    const row = (node: number, expires: number, until: number): IdLease.Row => ({
      node,
      expiresMillis: start + expires,
      untilMillis: start + until
    })
    const choose = (rows: ReadonlyArray<IdLease.Row>, nodes = 3) => IdLease.choose(rows, nodes, start)
    expect(choose([])).toEqual({ _tag: "Take", node: 0, fromMillis: start })
    expect(choose([row(1, 10, 10), row(0, 10, 10)])).toEqual({ _tag: "Take", node: 2, fromMillis: start })
    expect(choose([row(0, 10, 10), row(1, -1, -1)])).toEqual({ _tag: "Take", node: 1, fromMillis: start })
    expect(choose([row(0, -1, 500), row(1, -1, 400)], 2)).toEqual({ _tag: "Take", node: 1, fromMillis: start + 400 })
    expect(choose([row(0, -1, 90_000)], 1)).toEqual({ _tag: "ClockBehind", byMillis: 90_000 })
    expect(choose([row(0, 1, 1)], 1)).toEqual({ _tag: "NoNode" })
    // Of a larger layout that was used before.
    expect(choose([row(5, -1, -1)], 1)).toEqual({ _tag: "Take", node: 0, fromMillis: start })
  })
})
