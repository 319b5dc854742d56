import { z } from 'zod';

const memorySchema = z.object({
  memory: z.object({
    usedBytes: z.number(),
    thresholdBytes: z.number(),
    orders: z.number(),
    lastOrder: z
      .object({
        at: z.string(),
        tookMs: z.number(),
        longestSliceMs: z.number(),
        shedBytes: z.number(),
        shedEntries: z.number(),
      })
      .nullable(),
  }),
});

type Memory = z.infer<typeof memorySchema>['memory'];
export type Order = NonNullable<Memory['lastOrder']>;

/** What our server says of its memory and of the last order carried out. */
export async function readMemory(port: number): Promise<Memory> {
  const response = await fetch(`http://127.0.0.1:${port}/stats`);
  return memorySchema.parse(await response.json()).memory;
}

export async function put(port: number, key: string, value: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/cache`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key, value }),
  });
  const body = await response.text();
  if (response.status !== 201) throw new Error(`PUT answered ${response.status}: ${body}`);
}
