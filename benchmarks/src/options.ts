/**
 * What `npm run bench -- …` takes. Everything has a default: a full run of about 20 minutes on two idle cores, or with
 * `--quick` one of about two minutes, whose figures say little more than that everything runs.
 */
import { parseArgs } from "node:util"

export interface Options {
  /** The suites to run; empty for all of them. */
  readonly only: ReadonlyArray<string>
  /** Names of contenders to run, beside each baseline; empty for all of them. */
  readonly contenders: ReadonlyArray<string>
  readonly quick: boolean
  /** Numbers of shards, powers of two: suites that compare them take all, the others the one they are made for. */
  readonly shards: ReadonlyArray<number>
  /** Requests in flight, where a suite compares them. */
  readonly inFlight: ReadonlyArray<number>
  readonly rounds: number
  readonly roundMillis: number
  readonly warmUpMillis: number
  /** Rows of the table that scatters and streams read. */
  readonly rows: number
  readonly fsync: boolean
  /** Take a CPU profile of this contender in place of measuring. */
  readonly profile: string | undefined
  readonly profileMillis: number
  /** Name the suites and their contenders, and run nothing. */
  readonly list: boolean
}

export const usage = `usage: npm run bench -- [option…]
  --only point-read,scatter   these suites alone (--list names them)
  --contenders routed,pg      these contenders alone, beside each suite's baseline
  --quick                     everything once, small: about two minutes
  --shards 1,2,4,8            numbers of shards, powers of two
  --in-flight 1,16,64         requests in flight
  --rounds N  --round-millis N  --rows N
  --no-fsync                  servers that do not wait for the disk
  --profile NAME              CPU profile of one contender of the suites of --only, in place of measuring
  --profile-millis N
  --list                      names of suites`

const numbers = (text: string): ReadonlyArray<number> =>
  text.split(",").map((part) => {
    const value = Number(part)
    if (!Number.isInteger(value) || value < 1) throw new Error(`${part} is no whole number from 1 up`)
    return value
  })

const names = (text: string | undefined, comma: string | RegExp = ","): ReadonlyArray<string> =>
  text === undefined ? [] : text.split(comma).map((name) => name.trim())

/** Names of contenders have commas of their own, with a space behind. */
const betweenContenders = /,(?! )/

/** Throws on what it does not know. */
export const parse = (args: ReadonlyArray<string>): Options => {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: "string" },
      contenders: { type: "string" },
      quick: { type: "boolean", default: false },
      shards: { type: "string" },
      "in-flight": { type: "string" },
      rounds: { type: "string" },
      "round-millis": { type: "string" },
      rows: { type: "string" },
      "no-fsync": { type: "boolean", default: false },
      profile: { type: "string" },
      "profile-millis": { type: "string", default: "5000" },
      list: { type: "boolean", default: false }
    }
  })
  const { quick } = values
  const [rounds = 1] = numbers(values.rounds ?? (quick ? "1" : "5"))
  const [roundMillis = 1] = numbers(values["round-millis"] ?? (quick ? "150" : "500"))
  const [rows = 1] = numbers(values.rows ?? (quick ? "50000" : "1000000"))
  const [profileMillis = 1] = numbers(values["profile-millis"])
  const shards = numbers(values.shards ?? (quick ? "2,4" : "1,2,4,8"))
  const odd = shards.find((count) => (count & (count - 1)) !== 0)
  if (odd !== undefined) throw new Error(`${odd} shards: a power of two, so that slots and partitions nest`)
  return {
    only: names(values.only),
    contenders: names(values.contenders, betweenContenders),
    quick,
    shards,
    inFlight: numbers(values["in-flight"] ?? "1,16,64"),
    rounds,
    roundMillis,
    warmUpMillis: quick ? 100 : 400,
    rows,
    fsync: !values["no-fsync"],
    profile: values.profile,
    profileMillis,
    list: values.list
  }
}
