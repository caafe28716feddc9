/**
 * Which of several contenders comes first, kept up to date as the first one moves on.
 *
 * Each inner node keeps the loser of its match, so that when the winner has changed, only the matches on its way up are
 * played again: one for each level. The leaves are numbered after the inner nodes.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 @category constructors */
export class Tournament {
  /** Its number; none before the first `start`. */
  winner = nobody
  private readonly losers: Array<number>

  /** `beats`: the one of the first number comes before that of the second; never both, and never neither. */
  constructor(
    private readonly count: number,
    private readonly beats: (left: number, right: number) => boolean
  ) {
    this.losers = Array.from({ length: count }, () => nobody)
  }

  get hasStarted(): boolean {
    return this.winner !== nobody
  }

  /** Once all of them, of which there is at least one, can be compared. */
  start(): void {
    for (let each = 0; each < this.count; each++) this.enter(each)
  }

  /** The first to come to a node waits there for the second. */
  private enter(contender: number): void {
    let winner = contender
    for (let node = (contender + this.count) >> 1; node > 0; node >>= 1) {
      const other = this.losers[node]!
      if (other === nobody) {
        this.losers[node] = winner
        return
      }
      if (this.beats(other, winner)) {
        this.losers[node] = winner
        winner = other
      }
    }
    this.winner = winner
  }

  /** The winner is not what it was. */
  replay(): void {
    let winner = this.winner
    const { losers } = this
    for (let node = (winner + this.count) >> 1; node > 0; node >>= 1) {
      const other = losers[node]!
      if (this.beats(other, winner)) {
        losers[node] = winner
        winner = other
      }
    }
    this.winner = winner
  }
}

const nobody = -1
