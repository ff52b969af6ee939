// @ts-check
// One agent's page, drawn anew now and then; the spans go on by themselves, and what waits for a person is decided here too.

import './decide.js';
import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
