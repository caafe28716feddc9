/** The list of decisions, in place of the comment that stands for it: on a forge the folder itself is the list. */
export const decisionsListed = (md, decisions) => {
  const list = decisions.map(({ link, text }) => `- [${text}](${link})`).join("\n")
  md.core.ruler.before("normalize", "decisions", (state) => {
    state.src = state.src.replace("<!-- decisions -->", list)
  })
}
