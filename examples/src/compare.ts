/**
 * Are two answers the same, as far as SQL says anything about their order: row by row, or as multisets of rows?
 */

export type Row = Readonly<Record<string, unknown>>

/** The first difference in words, or undefined when there is none. */
export const difference = (
  routed: ReadonlyArray<Row>,
  single: ReadonlyArray<Row>,
  inOrder: boolean
): string | undefined => {
  if (routed.length !== single.length) return `${routed.length} rows instead of ${single.length}`
  const [ours, theirs] = inOrder ? [texts(routed), texts(single)] : [texts(routed).sort(), texts(single).sort()]
  const index = ours.findIndex((row, at) => row !== theirs[at])
  return index === -1 ? undefined : `${ours[index]} instead of ${theirs[index]}`
}

/** Rows as text. Both clients parse values with the same driver, so equal values give equal text. */
const texts = (rows: ReadonlyArray<Row>): Array<string> => rows.map((row) => JSON.stringify(row))
