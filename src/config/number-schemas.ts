import { z } from 'zod';
import { parseByteSize } from './byte-size.ts';

export function numberText(accepts: (value: number) => boolean): z.ZodType<number, string> {
  return z
    .string()
    .refine((text) => /^\d+(\.\d+)?$/.test(text) && accepts(Number(text)))
    .transform(Number);
}

export function wholeText(least: number, most: number): z.ZodType<number, string> {
  return numberText((value) => Number.isInteger(value) && value >= least && value <= most);
}

export function byteText(least: number, most: number): z.ZodType<number, string> {
  return z
    .string()
    .refine((text) => {
      const bytes = parseByteSize(text);
      return bytes !== undefined && bytes >= least && bytes <= most;
    })
    .transform((text) => parseByteSize(text)!);
}

export const optionalBytes: z.ZodType<number | undefined, string> = z.union([
  z.literal('').transform(() => undefined),
  byteText(2 ** 20, Number.MAX_SAFE_INTEGER),
]);
