import { defineConfig } from '@playwright/test';

// The agents are those of `tests/bed.sh`; two cores, so one browser at a time.
export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  workers: 1,
  // In CI a machine may be slow and busy with others: what does not pass the first time is listed as flaky.
  retries: process.env.CI ? 2 : 0,
  timeout: 60_000,
  expect: { timeout: process.env.CI ? 20_000 : 10_000 },
  forbidOnly: true,
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    launchOptions: { executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] },
    viewport: { width: 1400, height: 900 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    trace: 'off',
  },
});
