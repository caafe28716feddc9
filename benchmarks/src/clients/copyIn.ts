/** COPY FROM STDIN through `pg` by hand: all pieces are sent as soon as the server is ready for them. */
import type { Buffer } from "node:buffer"
import type pg from "pg"

/** Of the driver's connection, what a COPY needs. */
interface Wire {
  readonly query: (text: string) => void
  readonly sendCopyFromChunk: (chunk: Buffer) => void
  readonly endCopyFrom: () => void
}

/** What the client calls of a query: those that a COPY never gets are there because they are called. */
class CopyIn {
  constructor(
    private readonly text: string,
    private readonly pieces: Iterable<Buffer>,
    private readonly ended: (error?: unknown) => void
  ) {}

  submit(wire: Wire): void {
    wire.query(this.text)
  }

  handleCopyInResponse(wire: Wire): void {
    for (const piece of this.pieces) wire.sendCopyFromChunk(piece)
    wire.endCopyFrom()
  }

  handleError(error: unknown): void {
    this.ended(error)
  }

  handleReadyForQuery(): void {
    this.ended()
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

export const copyOn = (client: pg.PoolClient, text: string, pieces: Iterable<Buffer>): Promise<void> =>
  new Promise<void>((resolve, reject) => {
    const copying = new CopyIn(text, pieces, (error) => (error === undefined ? resolve() : reject(error)))
    client.query(copying as unknown as pg.Submittable)
  })

export const copyIn = async (pool: pg.Pool, text: string, pieces: Iterable<Buffer>): Promise<void> => {
  const client = await pool.connect()
  try {
    await copyOn(client, text, pieces)
  } finally {
    client.release()
  }
}
