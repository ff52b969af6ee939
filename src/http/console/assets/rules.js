// @ts-check
// The list of rules, drawn anew now and then.

import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
