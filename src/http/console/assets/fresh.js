// @ts-check
// Only refreshes the page regularly.

import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
