/** Who meets whom: the scenes that are walked through in full, and those that schedules are drawn from. */
import type { Scene, Written } from "./World.js"

const two: Written = { decider: 0, others: [1] }
const three: Written = { decider: 0, others: [1, 2] }
const crossing: ReadonlyArray<Written> = [two, { decider: 1, others: [0] }]
const foreign: Written = { decider: 0, others: [1], foreign: true }

/** One writer has prepared, one decides; two recoveries race, and rows are cleaned. */
export const twoWriters: Scene = { shards: 2, transactions: [two], recoveries: 2, cleaner: true, faults: 2 }

export const threeWriters: Scene = { shards: 3, transactions: [three], recoveries: 1, cleaner: true, faults: 2 }

/** They share a decision table and its watermark. */
export const oneDecider: Scene = { shards: 2, transactions: [two, two], recoveries: 1, cleaner: true, faults: 1 }

/** Each decides where the other prepares. */
export const twoDeciders: Scene = { shards: 2, transactions: crossing, recoveries: 1, cleaner: true, faults: 0 }

export const twoClusters: Scene = { shards: 2, transactions: [two, foreign], recoveries: 1, cleaner: true, faults: 2 }

export const reader: Scene = { shards: 3, transactions: [three], recoveries: 1, reader: true, faults: 2 }

/** Walked through in seconds. */
export const small: Readonly<Record<string, Scene>> = {
  "two writers, two recoveries, two faults": twoWriters,
  "three writers, one recovery, two faults": threeWriters,
  "two transactions of one decider, a fault": oneDecider,
  "two transactions of two deciders": twoDeciders,
  "beside another cluster, two faults": twoClusters,
  "three writers and a reader of all shards, two faults": reader
}

/** Walked through in minutes. */
export const large: Readonly<Record<string, Scene>> = {
  "two writers, two recoveries, five faults": { ...twoWriters, faults: 5 },
  "three writers, two recoveries, two faults": { ...threeWriters, recoveries: 2 },
  "two transactions of one decider, two faults": { ...oneDecider, faults: 2 },
  "two transactions of two deciders, a fault": { ...twoDeciders, faults: 1 },
  "two transactions and a reader, two faults": { ...twoDeciders, reader: true, cleaner: false, faults: 2 }
}

/** Too many worlds to walk through. */
export const random: ReadonlyArray<Scene> = [
  twoWriters,
  { ...threeWriters, recoveries: 2 },
  { shards: 4, transactions: [{ decider: 2, others: [0, 1, 3] }], recoveries: 2, cleaner: true, faults: 0 },
  { ...oneDecider, recoveries: 2 },
  { ...twoDeciders, recoveries: 2 },
  { shards: 3, transactions: [three, ...crossing, foreign], recoveries: 2, cleaner: true, faults: 0 },
  { shards: 3, transactions: [three, { decider: 1, others: [0, 2] }], recoveries: 2, reader: true, faults: 0 }
].map((scene) => ({ ...scene, faults: 9 }))
