import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateSource } from 'oazapfts';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';

/** The types that `openapi-typescript` makes of a document. */
export async function generateTypes(document: object): Promise<string> {
  return astToString(await openapiTS(JSON.stringify(document)));
}

/** The client that `oazapfts` makes of a document, in TypeScript. @param path of the document's file. */
export function generateClient(path: string): Promise<string> {
  return generateSource(path);
}

/** What the compiler that the generators are made for says of files, with all checks. */
export function faultsOf(paths: readonly string[]): string[] {
  const program = ts.createProgram(paths, {
    strict: true,
    noEmit: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [],
    lib: ['lib.esnext.d.ts', 'lib.dom.d.ts'],
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
    );
}

/** Makes a module that Node can load, beside a file in TypeScript. @returns its path. */
export function compile(folder: string, name: string): string {
  const path = join(folder, `${name}.mjs`);
  const { outputText } = ts.transpileModule(readFileSync(join(folder, `${name}.ts`), 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ESNext, module: ts.ModuleKind.ESNext },
  });
  writeFileSync(path, outputText);
  return path;
}
