// @ts-check
// A page that the server draws anew now and then, and nothing else.

import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
