// What the `pg` driver takes for a socket. Enters: what the driver writes; leaves: what the connection behind it sends.
import { Duplex } from "node:stream"
import type { VirtualConnection } from "./virtualConnection.js"

export class VirtualSocket extends Duplex {
  private readonly connection: VirtualConnection

  constructor(connect: (send: (bytes: Buffer | null) => void) => VirtualConnection) {
    // Closed on one side is closed on both, as with the driver's own sockets.
    super({ allowHalfOpen: false })
    this.connection = connect((bytes) => {
      if (!this.destroyed && !this.readableEnded) this.push(bytes)
    })
  }

  connect(): this {
    setImmediate(() => {
      if (!this.destroyed) this.emit("connect")
    })
    return this
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.receive([chunk], done)
  }

  override _writev(chunks: ReadonlyArray<{ readonly chunk: Buffer }>, done: () => void): void {
    this.receive(
      chunks.map(({ chunk }) => chunk),
      done
    )
  }

  /** Later, as over a network: an answer must not arrive inside of the driver's own `write`. */
  private receive(chunks: ReadonlyArray<Buffer>, done: () => void): void {
    setImmediate(() => {
      if (!this.destroyed) for (const chunk of chunks) this.connection.receive(chunk)
      done()
    })
  }

  override _final(done: () => void): void {
    this.connection.finish()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connection.finish()
    done(error)
  }
}
