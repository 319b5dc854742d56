/** A method before it is replaced, to be called with `call`. */
export function originalOf<Prototype, Name extends keyof Prototype>(
  prototype: Prototype,
  name: Name,
): Prototype[Name] {
  return prototype[name];
}
