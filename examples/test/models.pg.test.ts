/** The models of the example answer as its page says. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import { program } from "../src/models.js"

describe("npm run example:models", () => {
  it.live("asks by key, over all shards and page by page", () =>
    Effect.gen(function* () {
      expect(yield* program).toEqual({
        loans: 1,
        late: 21 + 28 + 35,
        inParis: 3,
        cities: 2,
        pages: [
          ["Ada", "Barbara", "Donald", "Edsger"],
          ["Frances", "Grace"]
        ]
      })
    })
  )
})
