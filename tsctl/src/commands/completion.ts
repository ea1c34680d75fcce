import { TesseraError } from "@tessera/proto";
import { defineCommand } from "../command.ts";

const shells = ["bash", "zsh", "fish"] as const;
type Shell = (typeof shells)[number];

interface CompletionOptions {
  readonly shell: Shell;
}

/** The command that the scripts call with the words so far; the last one is being typed. */
export const completeWord = "__complete";

export const completionCommand = defineCommand<CompletionOptions>({
  name: "completion",
  summary: "Print the completion script of a shell",
  examples: `# bash, in ~/.bashrc
source <(tsctl completion bash)
# zsh, in ~/.zshrc
source <(tsctl completion zsh)
# fish
tsctl completion fish > ~/.config/fish/completions/tsctl.fish`,
  declare: (command) => command.argument("<shell>", shells.join(", ")),
  parse: ([word]) => {
    const shell = shells.find((each) => each === word);
    if (shell === undefined)
      throw new TesseraError("BadRequest", `there is no completion for "${word}"; there is for ${shells.join(", ")}`);
    return { shell };
  },
  run: async ({ shell }, context) => {
    await context.out.write(scripts[shell]);
    return 0;
  },
});

// Where tsctl has nothing to offer, the shell offers files.
const scripts: Record<Shell, string> = {
  bash: `_tsctl() {
  local IFS=$'\\n'
  COMPREPLY=($(tsctl ${completeWord} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _tsctl tsctl
`,
  zsh: `#compdef tsctl
_tsctl() {
  local -a candidates
  candidates=("\${(@f)$(tsctl ${completeWord} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$candidates" ]]; then compadd -- $candidates; else _files; fi
}
compdef _tsctl tsctl
`,
  fish: `function __tsctl_complete
  set -l words (commandline -opc) (commandline -ct)
  tsctl ${completeWord} -- $words[2..] 2>/dev/null
end
complete -c tsctl -a '(__tsctl_complete)'
`,
};
