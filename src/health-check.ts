/** The image's HEALTHCHECK: exits 0 when the server in this container answers `/health`. */
const port = process.env['PORT'] ?? '7171';
const scheme = process.env['TLS_CERT_FILE'] ? 'https' : 'http';
const response = await fetch(`${scheme}://127.0.0.1:${port}/health`, { signal: AbortSignal.timeout(1500) });
process.exitCode = response.ok ? 0 : 1;
