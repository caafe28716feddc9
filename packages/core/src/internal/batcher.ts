/**
 * Gathers what many fibers ask at about the same time, and asks it once.
 *
 * Enters: keys, each with a listener. Leaves: one `run` a batch, whose answers go to the listeners of each key. Holds:
 * equal keys of one batch are asked once; a batch that has left takes no more listeners, so an answer is never older
 * than its ask; a listener that leaves disturbs nobody, and a key all of whose listeners left before it was sent is
 * not sent. Batches run one microtask after the first ask, or as soon as fewer than `batchesMax` are under way.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

export interface Batcher<K, A, E> {
  /** Returns how to leave. The listener is called at most once, and never before this has returned. */
  readonly ask: (key: K, listener: (exit: Exit.Exit<A, E>) => void) => () => void
}

interface Question<K, A, E> {
  readonly key: K
  readonly listeners: Set<(exit: Exit.Exit<A, E>) => void>
}

export const makeBatcher = <K, A, E>(options: {
  /** As many answers as keys, in their order. */
  readonly run: (keys: ReadonlyArray<K>) => Effect.Effect<ReadonlyArray<A>, E>
  readonly keyText: (key: K) => string
  /** Starts a fiber that belongs to none of the askers. */
  readonly fork: (effect: Effect.Effect<void>) => void
  readonly keysMax: number
  readonly batchesMax: number
}): Batcher<K, A, E> => {
  const gathering = new Map<string, Question<K, A, E>>()
  let underWay = 0
  let scheduled = false

  const ask: Batcher<K, A, E>["ask"] = (key, listener) => {
    const text = options.keyText(key)
    const question = gathering.get(text) ?? { key, listeners: new Set() }
    gathering.set(text, question)
    question.listeners.add(listener)
    schedule()
    return () => {
      question.listeners.delete(listener)
      if (question.listeners.size === 0 && gathering.get(text) === question) gathering.delete(text)
    }
  }

  const schedule = () => {
    if (scheduled || gathering.size === 0 || underWay >= options.batchesMax) return
    scheduled = true
    options.fork(Effect.zipRight(Effect.yieldNow(), send))
  }

  const send = Effect.suspend(() => {
    scheduled = false
    const batch = take()
    if (batch.length === 0) return Effect.void
    underWay++
    schedule()
    return Effect.onExit(options.run(batch.map((question) => question.key)), (exit) =>
      Effect.sync(() => {
        underWay--
        settle(batch, exit)
        schedule()
      })
    )
  }).pipe(Effect.exit, Effect.asVoid)

  const take = (): ReadonlyArray<Question<K, A, E>> => {
    const batch: Array<Question<K, A, E>> = []
    for (const [text, question] of gathering) {
      if (batch.length === options.keysMax) break
      gathering.delete(text)
      batch.push(question)
    }
    return batch
  }

  return { ask }
}

const settle = <K, A, E>(batch: ReadonlyArray<Question<K, A, E>>, exit: Exit.Exit<ReadonlyArray<A>, E>): void =>
  batch.forEach((question, index) => {
    const answer = Exit.map(exit, (answers) => answers[index] as A)
    for (const listener of question.listeners) listener(answer)
  })
