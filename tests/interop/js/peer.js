// A js-libp2p peer with the transport and gossip of protocol/05-sync.md, driven by JSON lines.
//
// Standard input:  {"dial": MULTIADDR}  {"ping": MULTIADDR}  {"publish": BASE64, "topic": TOPIC}
// Standard output: {"address": …}  {"connected": PEER}  {"pinged": MS}  {"published": [PEER, …]}
//                  {"subscribed": PEER}  {"heard": BASE64, "topic": …, "from": PEER}  {"error": …}
// It ends when its input does.

import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// Node 20 lacks it, and libraries of libp2p use it.
Promise.withResolvers ??= function () {
  const deferred = {}
  deferred.promise = new this((resolve, reject) => Object.assign(deferred, { resolve, reject }))
  return deferred
}

const TOPICS = ['/meshnode/heads/1', '/meshnode/statements/1'] // N-11

const messageId = message => createHash('sha256').update(message.data).digest() // N-12

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // Many peers of one machine call from one address, and share its processors.
  connectionManager: {
    inboundConnectionThreshold: 1000,
    maxIncomingPendingConnections: 1000,
    dialTimeout: 60_000,
    addressDialTimeout: 60_000,
    inboundUpgradeTimeout: 60_000,
    outboundStreamProtocolNegotiationTimeout: 60_000,
    inboundStreamProtocolNegotiationTimeout: 60_000
  },
  services: {
    identify: identify(),
    ping: ping(),
    pubsub: gossipsub({
      globalSignaturePolicy: 'StrictSign', // N-10
      msgIdFn: messageId,
      allowPublishToZeroTopicPeers: true,
      scoreParams: { IPColocationFactorWeight: 0 }, // all peers of a test share an address
      heartbeatInterval: 500
    })
  }
})

const say = value => process.stdout.write(JSON.stringify(value) + '\n')
const { pubsub } = node.services

node.addEventListener('peer:connect', event => say({ connected: event.detail.toString() }))
pubsub.addEventListener('subscription-change', event => {
  if (event.detail.subscriptions.some(each => each.subscribe && each.topic === TOPICS[0])) {
    say({ subscribed: event.detail.peerId.toString() })
  }
})
pubsub.addEventListener('message', event => {
  const { data, topic, from } = event.detail
  say({ heard: Buffer.from(data).toString('base64'), topic, from: from.toString() })
})
TOPICS.forEach(topic => pubsub.subscribe(topic))

const commands = {
  dial: async address => { await node.dial(multiaddr(address)) },
  ping: async address => say({ pinged: await node.services.ping.ping(multiaddr(address)) }),
  publish: async (data, { topic }) => {
    const { recipients } = await pubsub.publish(topic, Buffer.from(data, 'base64'))
    say({ published: recipients.map(String) })
  }
}

say({ address: node.getMultiaddrs()[0].toString() })
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const name = Object.keys(commands).find(each => each in command)
  try {
    await commands[name](command[name], command)
  } catch (error) {
    say({ error: `${name}: ${error}` })
  }
}
await node.stop()
