# complete.zsh FOLDER LINE: prints what zsh completes LINE with, a match a line, by its completion system and the functions in
# FOLDER. An interactive zsh on a terminal of its own (zsh/zpty) has the line typed, and a tab.
emulate -R zsh
zmodload zsh/zpty || exit 70

read -r -d '' inner <<'INNER'
PS1= PS2= RPS1=
unsetopt zle_bracketed_paste 2>/dev/null
autoload -U compinit
compinit -D -u
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
first_mark() { print -r -- '<matches>' }
# The first completion is the last thing that this shell does.
last_mark() { print -r -- '</matches>'; exit }
compprefuncs=(first_mark)
comppostfuncs=(last_mark)
# Whatever is added is told: matches alone, without what surrounds them. A call that only asks (-O, -A, -D) adds nothing.
compadd() {
  if [[ " ${(j: :)@[1,(i)(-|--)]} " == *' -'[a-zA-Z]#[OAD]' '* ]]; then
    builtin compadd "$@"
    return
  fi
  local -a told
  builtin compadd -O told "$@"
  (( $#told )) && print -rl -- $told
  builtin compadd "$@"
}
setopt extendedglob
print -r -- '<ready>'
INNER

file=$(mktemp)
print -r -- "$inner" >$file
zpty z zsh -f -i
zpty -w z "fpath=(${(q)1} \$fpath); stty -echo -onlcr columns 500; source $file"
zpty -r z output '*<ready>*' || exit 71
zpty -w -n z "$2"$'\t'
zpty -r z output '*</matches>*' || exit 72
rm -f $file
output=${output#*<matches>}
print -r -- "${output%</matches>*}"
