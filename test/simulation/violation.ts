/** What a run must never show. `rule` names the rule of the protocol notes, or the decision, that is broken. */
export class Violation extends Error {
  readonly checker: string
  readonly rule: string

  constructor(checker: string, rule: string, what: string) {
    super(what)
    this.checker = checker
    this.rule = rule
  }

  override toString(): string {
    return `${this.checker} (${this.rule}): ${this.message}`
  }
}
