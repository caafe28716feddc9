import * as Constraint from "@shardlayer/core/plan/Constraint"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { constraint, domain, matters, params } from "./ConstraintArbitrary.js"

const one = Constraint.equals([{ _tag: "Constant", part: "1" }])
const two = Constraint.anyOf(2)

describe("Constraint", () => {
  it("and drops Unknown, flattens, and collapses to Nothing", () => {
    expect(Constraint.and([])).toEqual(Constraint.unknown)
    expect(Constraint.and([Constraint.unknown, one])).toEqual(one)
    expect(Constraint.and([one, Constraint.nothing, two])).toEqual(Constraint.nothing)
    expect(Constraint.and([Constraint.and([one, two]), one])).toEqual({ _tag: "And", parts: [one, two, one] })
  })

  it("or drops Nothing, flattens, and collapses to Unknown", () => {
    expect(Constraint.or([])).toEqual(Constraint.nothing)
    expect(Constraint.or([Constraint.nothing, one])).toEqual(one)
    expect(Constraint.or([one, Constraint.unknown, two])).toEqual(Constraint.unknown)
    expect(Constraint.or([Constraint.or([one, two]), one])).toEqual({ _tag: "Or", parts: [one, two, one] })
  })

  it("and means every part, or means some part, for every key", () => {
    fc.assert(
      fc.property(fc.array(constraint(1), { maxLength: 4 }), params, (parts, params) => {
        for (const key of domain(1)) {
          expect(matters(Constraint.and(parts), key, params)).toBe(parts.every((part) => matters(part, key, params)))
          expect(matters(Constraint.or(parts), key, params)).toBe(parts.some((part) => matters(part, key, params)))
        }
      })
    )
  })
})
