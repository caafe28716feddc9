/** A classification as one short line: what the tables of statements below compare. */
import type { Operand } from "@shardlayer/core/plan/Constraint"
import type { PinnedPlan, PinnedWrite } from "@shardlayer/core/plan/Plan"

export const print = ({
  access,
  cannotPrepare,
  changesSchema,
  changesSession,
  changesSettings,
  setting,
  verdict
}: PinnedPlan): string =>
  [
    printVerdict(verdict),
    access,
    ...(changesSchema ? ["schema"] : []),
    ...(changesSession ? ["session"] : []),
    ...(changesSettings && !changesSession ? ["settings"] : []),
    ...(cannotPrepare === true ? ["not prepared"] : []),
    ...(setting === undefined
      ? []
      : [
          `${setting.values === undefined ? "repeated" : "read back"}${setting.changesValues ? ", changes values" : ""}`
        ])
  ].join(" | ")

const printVerdict = (verdict: PinnedPlan["verdict"]): string => {
  switch (verdict._tag) {
    case "Pass":
      return "pass"
    case "Keys":
      return `keys ${verdict.writes.map(printWrite).join(", ")}`
    case "OnlyOn":
      return [`only on ${verdict.shard}`, ...verdict.writes.map(printWrite)].join(", ")
    case "Check":
      return `check ${verdict.command} ${verdict.table}`
    case "Refuse":
      return `${verdict.refusal.code} ${verdict.refusal.reason}`
  }
}

const printWrite = ({ rows, table }: PinnedWrite): string =>
  `${table} ${rows.map((row) => (row._tag === "Stored" ? `(${row.operands.map(printOperand).join(" ")})` : row._tag)).join(" ")}`

const printOperand = (operand: Operand): string => {
  if (operand._tag === "Constant") return operand.part ?? "NULL"
  return operand.charactersMax === undefined ? `$${operand.index}` : `$${operand.index}[${operand.charactersMax}]`
}
