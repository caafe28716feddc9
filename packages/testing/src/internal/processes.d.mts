export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly command: string
}
export declare const list: () => ReadonlyArray<ProcessEntry>
export declare const childrenOf: (pid: number) => ReadonlyArray<number>
export declare const ownedBy: (token: string) => ReadonlyArray<number>
export declare const signal: (pid: number, name: NodeJS.Signals) => void
export declare const freeSharedMemory: (dataFolder: string) => void
