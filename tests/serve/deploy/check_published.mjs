// Checks the manifests with validators that were made from the schemas of Kubernetes and of the Prometheus
// operator. They know types and what must be there, but let unknown fields pass: deploy_test.cpp finds those.
// Not part of the tests, which have no network:
//
//   npm install --prefix FOLDER yaml kubernetes-models @kubernetes-models/prometheus-operator
//   node tests/serve/deploy/check_published.mjs FOLDER
//
// Exit status: 0 all are right, 1 one is not, 2 wrong usage.

import {readFileSync} from 'node:fs';
import {dirname, join, resolve} from 'node:path';
import {fileURLToPath, pathToFileURL} from 'node:url';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: check_published.mjs FOLDER');
  process.exit(2);
}
const fetched = (path) => import(pathToFileURL(join(resolve(folder), 'node_modules', path)));
const {parseAllDocuments} = (await fetched('yaml/dist/index.js')).default;
const operator = '@kubernetes-models/prometheus-operator/_schemas/' +
    'ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1ServiceMonitor.js';
const schemas = {
  'v1 ConfigMap': 'kubernetes-models/_schemas/IoK8sApiCoreV1ConfigMap.js',
  'v1 Service': 'kubernetes-models/_schemas/IoK8sApiCoreV1Service.js',
  'apps/v1 DaemonSet': 'kubernetes-models/_schemas/IoK8sApiAppsV1DaemonSet.js',
  'monitoring.coreos.com/v1 ServiceMonitor': operator,
};

const manifests = join(dirname(fileURLToPath(import.meta.url)), '../../../deploy/kubernetes');
let wrong = 0;
for (const file of ['lull-serve.yaml', 'service-monitor.yaml']) {
  const text = readFileSync(join(manifests, file), 'utf8');
  for (const parsed of parseAllDocuments(text, {version: '1.1'})) {
    const one = parsed.toJS();
    const kind = `${one.apiVersion} ${one.kind}`;
    const {validate} = await fetched(schemas[kind]);
    const right = validate(one);
    if (!right) ++wrong;
    console.log(`${file}: ${kind} ${one.metadata.name}: ${right ? 'right' : JSON.stringify(validate.errors)}`);
  }
}
process.exit(wrong ? 1 : 0);
