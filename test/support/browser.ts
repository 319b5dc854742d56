import { existsSync } from 'node:fs';
import { type Browser, type Page, chromium } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished } from 'vitest';

const PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const EXECUTABLE = PATHS.find((path) => existsSync(path));
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Whether there is a browser; tests that need one are skipped without, and say so. */
export const HAS_BROWSER = EXECUTABLE !== undefined;
if (!HAS_BROWSER) {
  console.warn('No Chromium: pages are not tried in a browser. On Debian: apt-get install chromium');
}

export interface Look {
  readonly colorScheme?: 'light' | 'dark';
  readonly width?: number;
  /** Whether the test moves the time of the page. */
  readonly hasFakeClock?: boolean;
}

/** A page, and whatever is wrong with it. */
export interface Watched {
  readonly page: Page;
  /** Errors in the console and in scripts, and requests to other origins. */
  readonly faults: string[];
}

/** One browser for all tests of a file. */
export class TestBrowser {
  private browser: Browser | undefined;

  constructor() {
    beforeAll(async () => {
      if (!HAS_BROWSER) return;
      this.browser = await chromium.launch({ executablePath: EXECUTABLE!, args: ARGS });
    });
    afterAll(() => this.browser?.close());
  }

  /** Opens a page in a profile of its own, which ends with the test. */
  async open(
    url: string,
    { colorScheme = 'light', width = 1280, hasFakeClock = false }: Look = {},
  ): Promise<Watched> {
    const context = await this.browser!.newContext({ colorScheme, viewport: { width, height: 800 } });
    onTestFinished(() => context.close());
    if (hasFakeClock) await context.clock.install();
    const page = await context.newPage();
    const faults: string[] = [];
    const { origin } = new URL(url);
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text());
    });
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('request', (request) => {
      const asked = request.url();
      if (!asked.startsWith('data:') && new URL(asked).origin !== origin) faults.push(asked);
    });
    await page.goto(url);
    return { page, faults };
  }
}

/** Each look takes the browser some milliseconds, and what is shown changes once a second. */
export const LOOK = { interval: 50 };

/** Waits until an element has a text that matches. */
export async function expectText(page: Page, selector: string, text: RegExp): Promise<void> {
  await expect.poll(() => page.locator(selector).textContent(), LOOK).toMatch(text);
}
