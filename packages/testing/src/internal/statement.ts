// One statement on a connection of its own, for helpers. Enters: a client that has not connected yet; leaves: the rows.
// Always: the connection is closed afterwards.
import type pg from "pg"

export const runOnce = async <Row extends object>(
  client: pg.Client,
  sql: string,
  params: ReadonlyArray<unknown> | undefined
): Promise<ReadonlyArray<Row>> => {
  try {
    await client.connect()
    const result = await (params === undefined ? client.query<Row>(sql) : client.query<Row>(sql, [...params]))
    // Several statements in one text give an array of results: the last one's rows are the answer.
    const last: pg.QueryResult<Row> | undefined = Array.isArray(result) ? result.at(-1) : result
    return last?.rows ?? []
  } finally {
    await client.end()
  }
}
