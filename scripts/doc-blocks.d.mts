export interface Block {
  readonly path: string
  readonly line: number
  readonly name: string
  readonly language: string
  readonly code: string
  readonly before: string
  readonly beforeLine: number
  readonly notRun: string | undefined
  readonly resolvedAs: string | undefined
}
export declare const root: string
export declare const pages: () => ReadonlyArray<string>
export declare const sources: () => ReadonlyArray<string>
export declare const slugOf: (heading: string) => string
export declare const blocksOfPage: (page: string) => ReadonlyArray<Block>
export declare const blocksOfSource: (source: string) => ReadonlyArray<Block>
export declare const moduleOf: (block: Block) => string
export declare const lineOf: (block: Block, moduleLine: number) => number
