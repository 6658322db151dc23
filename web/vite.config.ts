import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// For `npm run dev`: the agent whose API the page speaks.
const agent = process.env.HIVEWALL_AGENT ?? 'http://127.0.0.1:7733';
// It knows itself by its own address and takes commands of its own pages alone.
const proxy = { target: agent, changeOrigin: true, headers: { Origin: agent } };

export default defineConfig({
  plugins: [svelte()],
  base: './',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    // Files small enough to be written into others would become data: addresses, which the page's own rules forbid.
    assetsInlineLimit: 0,
    cssMinify: true,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/api': proxy, '/metrics': proxy },
  },
  test: { include: ['src/**/*.test.ts'] },
});
