/** @returns what our server answers at `/stats`, of which the caller names the part that it reads. */
export async function statsOf<Stats>(port: number): Promise<Stats> {
  const response = await fetch(`http://127.0.0.1:${port}/stats`);
  return (await response.json()) as Stats;
}
