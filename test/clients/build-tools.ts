import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { makeFolder } from '../support/folder.ts';
import { isInstalled, runProgram } from '../support/run.ts';

export interface CacheAddress {
  readonly port: number;
  readonly token: string;
}

interface Step {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A real build tool, and a project that it builds. */
export interface BuildTool {
  readonly name: string;
  readonly programs: readonly string[];
  /** Content of the project's files by their paths. */
  readonly files: Readonly<Record<string, string>>;
  /** A folder of this process's that the tool looks for, and where it looks. */
  readonly link?: readonly [target: string, path: string];
  /** What a build makes. */
  readonly output: string;
  /**
   * @param state a folder for what the tool keeps between builds.
   * @param own a folder for what it makes of its own code alone. That stays, since it takes seconds to make.
   */
  readonly steps: (at: CacheAddress, state: string, own: string) => readonly Step[];
  /** What it prints when the result came from the remote cache. */
  readonly hit: RegExp;
}

const { resolve } = createRequire(import.meta.url);
const OWN = fileURLToPath(new URL('../../node_modules/.cache/build-tools', import.meta.url));
/** A build takes less than the best compiler of the virtual machine needs to be worth its time. */
const JVM_FLAGS = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
const folderOf = (name: string): string => dirname(resolve(`${name}/package.json`));
const SCRIPT = { build: 'mkdir -p dist && echo built > dist/out.txt' };
const LOCKFILE = JSON.stringify({ name: 'repository', lockfileVersion: 3, packages: {} });
const PACKAGE = JSON.stringify({ name: 'a', version: '1.0.0', scripts: SCRIPT });
const REPOSITORY = { name: 'repository', private: true, workspaces: ['packages/*'] };

const CCACHE: BuildTool = {
  name: 'ccache',
  programs: ['ccache', 'gcc'],
  files: { 'a.c': 'const char *answer(void) { return "built"; }\n' },
  output: 'a.o',
  steps: ({ port, token }, state) => {
    const env = {
      CCACHE_DIR: join(state, 'ccache'),
      CCACHE_REMOTE_STORAGE: `http://127.0.0.1:${port}/kv/ccache|bearer-token=${token}`,
    };
    return [
      { program: 'ccache', args: ['gcc', '-c', 'a.c', '-o', 'a.o'], env },
      { program: 'ccache', args: ['--print-stats'], env },
    ];
  },
  hit: /^remote_storage_hit\t1$/m,
};

const TURBO: BuildTool = {
  name: 'turbo',
  programs: [],
  files: {
    'package.json': JSON.stringify({ ...REPOSITORY, packageManager: 'npm@11.0.0' }),
    'package-lock.json': LOCKFILE,
    'turbo.json': JSON.stringify({
      tasks: { build: { outputs: ['dist/**'] } },
      remoteCache: { signature: true },
    }),
    'packages/a/package.json': PACKAGE,
  },
  output: 'packages/a/dist/out.txt',
  steps: ({ port, token }) => [
    {
      program: process.execPath,
      args: [join(folderOf('turbo'), 'bin/turbo'), 'run', 'build'],
      env: {
        TURBO_API: `http://127.0.0.1:${port}`,
        TURBO_TOKEN: token,
        TURBO_TEAM: 'team',
        TURBO_REMOTE_CACHE_SIGNATURE_KEY: 'k'.repeat(32),
        TURBO_TELEMETRY_DISABLED: '1',
        CI: '1',
      },
    },
  ],
  hit: /FULL TURBO/,
};

export const NX: BuildTool = {
  name: 'Nx',
  programs: [],
  files: {
    'package.json': JSON.stringify(REPOSITORY),
    'package-lock.json': LOCKFILE,
    'nx.json': JSON.stringify({
      analytics: false,
      targetDefaults: { build: { cache: true, outputs: ['{projectRoot}/dist'] } },
    }),
    'packages/a/package.json': PACKAGE,
  },
  link: [folderOf('nx'), 'node_modules/nx'],
  output: 'packages/a/dist/out.txt',
  steps: ({ port, token }, _state, own) => [
    {
      program: process.execPath,
      args: ['node_modules/nx/dist/bin/nx.js', 'run-many', '--target=build', '--output-style=static'],
      env: {
        NX_SELF_HOSTED_REMOTE_CACHE_SERVER: `http://127.0.0.1:${port}`,
        NX_SELF_HOSTED_REMOTE_CACHE_ACCESS_TOKEN: token,
        NX_DAEMON: 'false',
        // No process of its own for each plugin.
        NX_ISOLATE_PLUGINS: 'false',
        NODE_COMPILE_CACHE: join(own, 'nx'),
        NX_NO_CLOUD: 'true',
        CI: '1',
      },
    },
  ],
  hit: /\[remote cache\]/,
};

const BAZEL: BuildTool = {
  name: 'Bazel',
  programs: ['bazel'],
  files: {
    WORKSPACE: '',
    BUILD: 'genrule(name = "out", outs = ["out.txt"], cmd = "echo built > $@")\n',
  },
  output: 'bazel-bin/out.txt',
  steps: ({ port, token }, state) => [
    {
      program: 'bazel',
      args: [
        // Without a server that would outlive the test.
        '--batch',
        ...JVM_FLAGS.map((flag) => `--host_jvm_args=${flag}`),
        `--output_user_root=${join(state, 'bazel')}`,
        'build',
        '--spawn_strategy=local',
        `--remote_cache=http://ci:${token}@127.0.0.1:${port}/kv/bazel`,
        '//:out',
      ],
    },
  ],
  hit: /1 remote cache hit/,
};

const GRADLE: BuildTool = {
  name: 'Gradle',
  programs: ['gradle'],
  files: {
    'settings.gradle': `buildCache {
  local { enabled = false }
  remote(HttpBuildCache) {
    url = "http://127.0.0.1:\${System.env.CACHE_PORT}/kv/gradle/"
    push = true
    credentials { username = 'ci'; password = System.env.CACHE_TOKEN }
  }
}
`,
    'build.gradle': `@CacheableTask
class Build extends DefaultTask {
  @Input String text = 'built'
  @OutputFile File out = new File(project.buildDir, 'out.txt')
  @TaskAction void run() { out.text = text }
}
task make(type: Build)
`,
  },
  output: 'build/out.txt',
  steps: ({ port, token }, _state, own) => [
    {
      program: 'gradle',
      args: ['--no-daemon', '--console=plain', '--build-cache', 'make'],
      env: {
        // Results are nowhere but in the project and in the remote cache.
        GRADLE_USER_HOME: join(own, 'gradle'),
        JAVA_TOOL_OPTIONS: JVM_FLAGS.join(' '),
        CACHE_PORT: String(port),
        CACHE_TOKEN: token,
      },
    },
  ],
  hit: /^:make FROM-CACHE$/m,
};

const MOON: BuildTool = {
  name: 'moon',
  programs: ['git'],
  files: {
    '.moon/workspace.yml': `projects: ['a']
telemetry: false
remote:
  api: http
  auth:
    token: CACHE_TOKEN
`,
    'a/moon.yml': `tasks:
  build:
    script: '${SCRIPT.build}'
    outputs: ['dist']
`,
  },
  output: 'a/dist/out.txt',
  steps: ({ port, token }, _state, own) => [
    // Without a repository that has a commit it caches nothing.
    { program: 'git', args: ['init', '--quiet'] },
    {
      program: 'git',
      args: ['-c', 'user.name=a', '-c', 'user.email=a@b.c', 'commit', '--quiet', '--allow-empty', '-m', 'a'],
    },
    {
      program: process.execPath,
      args: [join(folderOf('@moonrepo/cli'), 'moon.js'), 'run', 'a:build'],
      env: {
        MOON_REMOTE_HOST: `http://127.0.0.1:${port}/kv/moon`,
        CACHE_TOKEN: token,
        // Results are in the project.
        MOON_HOME: join(own, 'moon'),
        XDG_CACHE_HOME: join(own, 'cache'),
        CI: '1',
      },
    },
  ],
  hit: /cached from remote/,
};

const TOOLS = [CCACHE, TURBO, NX, MOON, BAZEL, GRADLE];

/** Those that can run here. */
export const BUILD_TOOLS = TOOLS.filter(({ programs }) => programs.every(isInstalled));

for (const { name } of TOOLS.filter((tool) => !BUILD_TOOLS.includes(tool))) {
  console.warn(`skipped, ${name} is not installed`);
}

/** They start a virtual machine, or compile their own code first. */
export function takesSecondsToStart(tool: BuildTool): boolean {
  return tool === BAZEL || tool === GRADLE || tool === MOON;
}

export interface Build {
  readonly printed: string;
  /** Whether its result came from the remote cache. */
  readonly isHit: boolean;
}

/** One checkout of a tool's project. */
export class Checkout {
  private readonly tool: BuildTool;
  private readonly folder = makeFolder();

  constructor(tool: BuildTool) {
    this.tool = tool;
  }

  /**
   * Builds anew, with nothing left of an earlier build or its local cache.
   * @param more of the environment.
   * @throws when the build fails.
   */
  async build(at: CacheAddress, more: Readonly<Record<string, string>> = {}): Promise<Build> {
    const { files, link, steps, output, hit } = this.tool;
    const project = join(this.folder, 'project');
    const state = join(this.folder, 'state');
    for (const folder of [project, state]) rmSync(folder, { recursive: true, force: true });
    mkdirSync(state);
    mkdirSync(OWN, { recursive: true });
    for (const [path, content] of Object.entries(files)) this.write(join(project, path), content);
    if (link) {
      const [target, path] = link;
      mkdirSync(dirname(join(project, path)), { recursive: true });
      symlinkSync(target, join(project, path));
    }
    let printed = '';
    for (const { program, args, env } of steps(at, state, OWN)) {
      printed += await runProgram(program, args, { cwd: project, env: { HOME: state, ...env, ...more } });
    }
    expect(readFileSync(join(project, output), 'latin1')).toMatch(/built/);
    return { printed, isHit: hit.test(printed) };
  }

  private write(path: string, content: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
}
