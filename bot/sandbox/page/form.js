// What is chosen and typed in a message or a view, as Slack keeps it: `state.values[block_id][action_id]`.
export class Form {
  #values = {};

  // What the block itself says; what a person chose before in the same element stays.
  begin(block, spec, state) {
    const known = this.#values[block.block_id]?.[spec.action_id];
    if (known?.type === spec.type) return known;
    return this.set(block, spec, state);
  }

  set(block, spec, state) {
    const value = { type: spec.type, ...state };
    (this.#values[block.block_id] ??= {})[spec.action_id] = value;
    return value;
  }

  json() {
    return this.#values;
  }
}
