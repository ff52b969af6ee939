// @ts-check
// One agent's page, drawn anew now and then; the spans go on by themselves.

import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
