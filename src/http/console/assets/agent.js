// @ts-check
// The page of one agent: refreshes it regularly, updates running durations, and decides approvals.

import './decide.js';
import { goOnRefreshing } from './refresh.js';

goOnRefreshing();
