/**
 * Partitions as a part of the table they are partitions of.
 *
 * Enters: the relations of one catalog, as the server lists them. Leaves: the same, each partitioned table with what
 * hides in its partitions (triggers, rules, row security, own keys and constraints), so that whoever looks at the table
 * sees all that a statement about it can meet. Holds: a foreign key speaks of partitioned tables, never of partitions.
 * Approximates: PostgreSQL looks at rules and row security of the named table alone; here a partition's count too.
 *
 * @since 0.1.0
 */
import * as Catalog from "./Catalog.js"

type Relations = ReadonlyMap<string, Catalog.Relation>

/** @since 0.1.0 @category functions */
export const fold = (relations: Relations): Relations => {
  const trees = treesOf(relations)
  const roots = new Map(
    [...trees].flatMap(([root, members]) => members.map((member) => [keyOf(member), root] as const))
  )
  const referring = (key: Catalog.ForeignKey): Catalog.ForeignKey => {
    const root = relations.get(roots.get(Catalog.key(key.schema, key.table)) ?? "")
    return root === undefined ? key : { ...key, schema: root.schema, table: root.name }
  }
  const folded = [...relations].map(([key, relation]): readonly [string, Catalog.Relation] => {
    const own = relation.foreignKeys.map(referring)
    if (roots.has(key)) return [key, { ...relation, foreignKeys: [] }]
    const members = trees.get(key) ?? []
    const foreign = members.flatMap((member) => member.foreignKeys.map(referring)).map(asPartial)
    const whole = { ...relation, foreignKeys: distinct([...own, ...foreign]) }
    return [key, relation.kind === "p" && relation.detailed ? withMembers(whole, members) : whole]
  })
  return inTrees(new Map(folded))
}

/** Those of an inheritance tree, partitions or not, know what is above and below them. */
const inTrees = (relations: Relations): Relations => {
  const children = new Map<string, Array<string>>()
  for (const [key, { parents }] of relations) {
    for (const parent of parents) {
      const known = children.get(parent)
      if (known === undefined) children.set(parent, [key])
      else known.push(key)
    }
  }
  if (children.size === 0) return relations
  const above = (key: string) => relations.get(key)?.parents ?? []
  const below = (key: string) => children.get(key) ?? []
  return new Map(
    [...relations].map(([key, relation]) => [
      key,
      { ...relation, ancestors: reachable(key, above), descendants: reachable(key, below) }
    ])
  )
}

const reachable = (from: string, next: (key: string) => ReadonlyArray<string>): ReadonlyArray<string> => {
  const found = new Set(next(from))
  for (const key of found) for (const further of next(key)) found.add(further)
  return [...found]
}

const keyOf = (relation: Catalog.Relation): string => Catalog.key(relation.schema, relation.name)

/** The partitions of all levels, by the table at the top, in one order on all shards. */
const treesOf = (relations: Relations): ReadonlyMap<string, ReadonlyArray<Catalog.Relation>> => {
  const trees = new Map<string, Array<Catalog.Relation>>()
  for (const relation of relations.values()) {
    if (relation.parent === null) continue
    const root = rootOf(relations, relation.parent)
    const known = trees.get(root)
    if (known === undefined) trees.set(root, [relation])
    else known.push(relation)
  }
  for (const members of trees.values()) members.sort((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1))
  return trees
}

const rootOf = (relations: Relations, key: string): string => {
  const parent = relations.get(key)?.parent ?? null
  return parent === null ? key : rootOf(relations, parent)
}

const withMembers = (table: Catalog.Relation, members: ReadonlyArray<Catalog.Relation>): Catalog.Relation => ({
  ...table,
  rowSecurity: table.rowSecurity || members.some((member) => member.rowSecurity),
  securedPartition: members.find((member) => member.rowSecurity)?.name ?? null,
  partitions: members.map(partitionOf),
  indexes: [...table.indexes, ...members.flatMap((member) => member.indexes.map(ofOnePartition))],
  checks: [...table.checks, ...members.flatMap((member) => ownChecks(table, member))],
  // A statement's own triggers are those of the table it names.
  triggers: distinct(
    [...table.triggers, ...members.flatMap((member) => member.triggers.filter((trigger) => trigger.row))].map(moving)
  ),
  rules: distinct([...table.rules, ...members.flatMap((member) => member.rules)]),
  callers: distinct([...table.callers, ...members.flatMap((member) => member.callers)])
})

const partitionOf = (member: Catalog.Relation): Catalog.Partition => ({
  key: keyOf(member),
  parent: member.parent ?? "",
  kind: member.kind,
  bound: member.bound ?? "",
  partitionKey: member.partitionKey,
  generated: member.columns.flatMap((column) =>
    column.generated === "" ? [] : [`${column.name}: ${column.default ?? ""}`]
  )
})

/** It holds for the rows of one partition, and an UPDATE of other columns may bring a row there. */
const ofOnePartition = (index: Catalog.Index): Catalog.Index => ({
  ...index,
  primary: false,
  partial: true,
  constraint: null
})

const asPartial = (key: Catalog.ForeignKey): Catalog.ForeignKey => ({ ...key, partial: true })

const ownChecks = (table: Catalog.Relation, member: Catalog.Relation): Catalog.Relation["checks"] =>
  member.checks
    .filter(({ definition, name }) =>
      table.checks.every((check) => check.name !== name || check.definition !== definition)
    )
    .map(({ definition, name }) => ({ name: `${name} of partition ${Catalog.shown(keyOf(member))}`, definition }))

/** An UPDATE that moves a row to another partition deletes it in one and inserts it into the other. */
const moving = (trigger: Catalog.Trigger): Catalog.Trigger =>
  trigger.row ? { ...trigger, update: trigger.update || trigger.insert || trigger.delete } : trigger

const distinct = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...new Map(all.map((one) => [JSON.stringify(one), one])).values()
]
