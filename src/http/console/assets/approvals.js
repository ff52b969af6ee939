// @ts-check
// What waits for a person, drawn anew now and then.

import './decide.js';
import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
