/** Diagrams: a block of mermaid is drawn in the browser, where the page is; without scripts its text is shown. */
export const mermaid = (md) => {
  const fence = md.renderer.rules.fence
  md.renderer.rules.fence = (tokens, index, options, env, self) => {
    const token = tokens[index]
    if (token.info.trim() !== "mermaid") return fence(tokens, index, options, env, self)
    return `<Mermaid code="${encodeURIComponent(token.content)}" />`
  }
}
